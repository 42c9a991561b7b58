"""What the recorded walk leaves out of Apache Libcloud's driver.

Prints one JSON line a step: `wanted` is what must become of it, `got` what did.

Environment: CLOUDSTACK_ENDPOINT, CLOUDSTACK_KEY, CLOUDSTACK_SECRET
Arguments: name zone template network fixed-offering-id disk
"""

import json
import os
import sys
from urllib.parse import urlsplit

from libcloud.compute.base import NodeSize
from libcloud.compute.providers import get_driver
from libcloud.compute.types import Provider
from libcloud.loadbalancer.base import Algorithm, Member
from libcloud.loadbalancer.providers import get_driver as get_balancing_driver

name, zone, template, network, compute, disk = sys.argv[1:7]
where = urlsplit(os.environ["CLOUDSTACK_ENDPOINT"])
keys = os.environ["CLOUDSTACK_KEY"], os.environ["CLOUDSTACK_SECRET"]
place = {"secure": False, "host": where.hostname, "port": where.port, "path": where.path}
driver = get_driver(Provider.CLOUDSTACK)(*keys, **place)
balancing = get_balancing_driver("cloudstack")(*keys, **place)
driver.connection.poll_interval = balancing.connection.poll_interval = 0.2


def step(wanted, what, act):
    """`wanted` is a value, or the name of the exception that must come; None wants anything but an exception."""
    try:
        result = act()
    except Exception as fault:
        got, result = type(fault).__name__, None
    else:
        got = wanted if wanted is None else result
    print(json.dumps({"step": what, "wanted": wanted, "got": got}, default=str), flush=True)  # noqa: T201
    return result


def named(rows, wanted):
    return next(row for row in rows if row.name == wanted)


location, image = named(driver.list_locations(), zone), named(driver.list_images(), template)
size = NodeSize(id=compute, name="", ram=0, disk=0, bandwidth=0, price=0, driver=driver)


def security():
    """The security group of this walk."""
    return next(group for group in driver.ex_list_security_groups() if group["name"] == name)


# networks, addresses, rules
isolated = named(driver.ex_list_network_offerings(), "DefaultIsolatedNetworkOfferingWithSourceNatService")
new = step(None, "network made", lambda: driver.ex_create_network("walk", name + "-net", isolated, location))
node = step(
    None,
    "node made",
    lambda: driver.create_node(name=name, image=image, size=size, location=location, networks=[new], ex_start_vm=True),
)
step("running", "node runs", lambda: str(driver.ex_get_node(node.id).state))
step(1, "its cards", lambda: len(driver.ex_list_nics(node)))
step(True, "node rebooted", lambda: driver.reboot_node(node))
address = step(None, "address acquired", lambda: driver.ex_allocate_public_ip(network_id=new.id, location=location))
step(True, "address listed", lambda: address.id in [each.id for each in driver.ex_list_public_ips()])
opened = step(
    None,
    "firewall opened",
    lambda: driver.ex_create_firewall_rule(address, "0.0.0.0/0", "TCP", start_port=443, end_port=443),
)
step(
    "ProviderError",
    "firewall opened again",
    lambda: driver.ex_create_firewall_rule(address, "0.0.0.0/0", "TCP", start_port=443, end_port=443),
)
step(1, "firewall rules", lambda: len(driver.ex_list_firewall_rules()))
out = step(
    None, "let out", lambda: driver.ex_create_egress_firewall_rule(new.id, "10.1.1.0/24", "TCP", start_port=1, end_port=99)
)
step(1, "egress rules", lambda: len(driver.ex_list_egress_firewall_rules()))
led = step(None, "port led on", lambda: driver.ex_create_port_forwarding_rule(node, address, 22, 22, "TCP"))
step(1, "ports led on", lambda: len(driver.ex_list_port_forwarding_rules()))
step("ProviderError", "rule of static NAT without it", lambda: driver.ex_create_ip_forwarding_rule(node, address, "TCP", 80))
step(True, "port led on no more", lambda: driver.ex_delete_port_forwarding_rule(node, led))
step(True, "firewall closed", lambda: driver.ex_delete_firewall_rule(opened))
step(True, "kept in", lambda: driver.ex_delete_egress_firewall_rule(out))
step(True, "address released", lambda: driver.ex_release_public_ip(address))

# a port that is shared out, by the driver for load balancers
shared = step(
    None,
    "port shared out",
    lambda: balancing.create_balancer("web", [], "tcp", 80, Algorithm.ROUND_ROBIN, location, 8080, new.id),
)
step(["web"], "what is shared out", lambda: [each.name for each in balancing.list_balancers()])
step(80, "its port", lambda: int(balancing.get_balancer(shared.id).port))
step(None, "node is a member", lambda: shared.attach_member(Member(node.id, node.private_ips[0], 8080)))
step([node.id], "members", lambda: [each.id for each in shared.list_members()])
step(True, "node is a member no more", lambda: balancing.balancer_detach_member(shared, shared.list_members()[0]))
step("KeyError", "no members: an empty answer, in which the driver looks for a list", shared.list_members)
step(None, "port shared out no more", lambda: balancing.destroy_balancer(shared))
step([], "nothing is shared out", balancing.list_balancers)

# cards
other = named(driver.ex_list_networks(), network)
card = step(True, "card added", lambda: driver.ex_attach_nic_to_node(node, other))
step(2, "its cards", lambda: len(driver.ex_list_nics(node)))
second = next(each for each in driver.ex_list_nics(node) if not each.is_default)
step(True, "card removed", lambda: driver.ex_detach_nic_from_node(second, node))
step("Exception", "default card removed", lambda: driver.ex_detach_nic_from_node(driver.ex_list_nics(node)[0], node))

# volumes, snapshots, templates, tags
volume = step(None, "volume made", lambda: driver.create_volume(1, name + "-disk", location=location, ex_volume_type=disk))
step(True, "volume attached", lambda: driver.attach_volume(node, volume))
step(2, "volumes of the node", lambda: len(driver.list_volumes(node)))
step(True, "tags made", lambda: driver.ex_create_tags([volume.id], "Volume", {"owner": "walk"}))
step("Exception", "tags made again", lambda: driver.ex_create_tags([volume.id], "Volume", {"owner": "walk"}))
step({"owner": "walk"}, "tags told", lambda: driver.ex_get_volume(volume.id).extra["tags"])
step(True, "tags deleted", lambda: driver.ex_delete_tags([volume.id], "Volume", ["owner"]))
snapshot = step(None, "snapshot taken", lambda: driver.create_volume_snapshot(volume, name + "-snap"))
copy = step(
    None, "volume of the snapshot", lambda: driver.create_volume(1, name + "-copy", location=location, snapshot=snapshot)
)
system = driver.ex_list_os_types()[0]
step(
    None,
    "template of the snapshot",
    lambda: driver.ex_create_snapshot_template(snapshot, name + "-image", system["id"], "image"),
)
step(True, "template listed", lambda: name + "-image" in [each.name for each in driver.list_images()])
step(True, "snapshot destroyed", lambda: driver.destroy_volume_snapshot(snapshot))
step(True, "copy destroyed", lambda: driver.destroy_volume(copy))
step(True, "volume detached", lambda: driver.detach_volume(volume))
step(True, "volume destroyed", lambda: driver.destroy_volume(volume))

# what accounts have
pair = step(None, "key pair made", lambda: driver.create_key_pair(name))
step("ProviderError", "key pair made again", lambda: driver.create_key_pair(name))
step(name, "key pair found", lambda: driver.get_key_pair(name).name)
step(False, "key pair deleted, told by a boolean that the driver takes for no", lambda: driver.delete_key_pair(pair))
step("KeyPairDoesNotExistError", "key pair gone", lambda: driver.get_key_pair(name))
public = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQC7 walk@test"
step(name, "key pair brought along", lambda: driver.import_key_pair_from_string(name, public).name)
step([name], "key pairs", lambda: [each.name for each in driver.list_key_pairs()])
step("ProviderError", "same key by another name", lambda: driver.import_key_pair_from_string(name + "-2", public))
step([], "ACLs", driver.ex_list_network_acl)
step(
    ["default_allow", "default_deny"],
    "lists of ACLs",
    lambda: sorted(each.name for each in driver.ex_list_network_acllists()),
)
step([], "VPNs", lambda: driver.ex_list_vpn_gateways() + driver.ex_list_vpn_connections())
step("ProviderError", "routers, which are not a user's", driver.ex_list_routers)
kind = driver.ex_list_affinity_group_types()[0]
apart = step(None, "affinity group made", lambda: driver.ex_create_affinity_group(name, kind))
step(None, "node stopped", lambda: driver.ex_stop(node))
step(None, "node in the group", lambda: driver.ex_update_node_affinity_group(node, [apart]))
step(1, "nodes of the group", lambda: len(named(driver.ex_list_affinity_groups(), name).virtualmachine_ids))
step(None, "group deleted", lambda: driver.ex_delete_affinity_group(apart))
step(None, "security group made", lambda: driver.ex_create_security_group(name))
step(None, "security group opened", lambda: driver.ex_authorize_security_group_ingress(name, "tcp", "0.0.0.0/0", 80, 80))
step(
    1,
    "rules of the security group",
    lambda: len(security()["ingressrule"]),
)
step(
    True,
    "security group closed",
    lambda: driver.ex_revoke_security_group_ingress(security()["ingressrule"][0]["ruleid"]),
)
step([], "no rules of the security group", lambda: security()["ingressrule"])
step(True, "security group deleted", lambda: driver.ex_delete_security_group(name))
step(None, "ISO registered", lambda: driver.ex_register_iso(name, "http://127.0.0.1/x.iso", location))
step(True, "limits told", lambda: "max_volumes" in driver.ex_limits())
step([], "projects", driver.ex_list_projects)
step([], "VPCs", driver.ex_list_vpcs)

# the end
step(None, "node restored", lambda: driver.ex_restore(node, image))
step(True, "node destroyed", lambda: driver.destroy_node(node))
step("Exception", "network deleted while a destroyed node is in it", lambda: driver.ex_delete_network(new))
step([], "its nodes", lambda: [each.id for each in driver.list_nodes(location=location) if each.name == name])
