"""What the server says no to: one row a rule, found by its id, with code and wording.

Command code says `raise refuse("CS-ATT-08")`; the code, the secondary class number and the text for this release's
wording stand here and nowhere else. `masked` refusals hide their text from everybody but root administrators.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

MASK = "Internal error executing command, please contact your system administrator"
PERMISSION = "Caller does not have permission to operate with provided resource."
ROOT_STATE = "Root volume detach can happen only when vm is in states: Stopped or Destroyed"
MANAGED = "Root volume detach is not supported for Managed DataStores"
PARAM, RUNTIME, DENIED, LIMIT, API, OTHER = 4350, 4250, 4365, 4370, 9999, 0


class Refused(Exception):
    """A refusal on its way to the answer. `cs` is CloudStack's number for the kind of exception."""

    def __init__(self, code: int, text: str | None, cs: int = PARAM, masked: bool = False) -> None:
        super().__init__(text)
        self.code, self.text, self.cs, self.masked = code, text, cs, masked


@dataclass(frozen=True, slots=True)
class Row:
    """One rule's refusal; `new` is the wording of releases that say Instance (W2), where it differs."""

    code: int
    text: str
    new: str | None = None
    cs: int = PARAM
    masked: bool = False


ROWS: Mapping[str, Row] = {
    "CS-WIR-02": Row(
        432, "The API [{command}] does not exist or is not available for the account for user id [{user}].", cs=API
    ),
    "CS-WIR-13": Row(429, "The given user has reached his/her account api limit, please retry after [{n}] ms.", cs=API),
    "CS-WIR-18": Row(431, "Unable to find UUID for id [{n}] of type [{kind}]"),
    "CS-WIR-27": Row(531, PERMISSION, cs=DENIED),
    "CS-WIR-28": Row(530, PERMISSION, cs=API),
    "CS-WIR-28b": Row(530, "Virtual machine id does not exist", cs=API),
    "CS-JOB-09": Row(431, "UUID: {id} doesn't follow the UUID format"),
    "CS-JOB-10": Row(431, "UUID: {id} already exists so can't create/update with custom id"),
    "CS-JOB-11": Row(530, "Entity already exists ", cs=API, masked=True),
    "CS-JOB-08": Row(
        531,
        'Account Account [{{"accountName":"{name}","id":{n},"uuid":"{id}"}}] is not authorized to see job id={job}',
        cs=DENIED,
    ),
    "CS-JOB-17": Row(
        503, "Maintenance or Shutdown has been initiated on this management server. Can not accept new jobs", cs=API
    ),
    "CS-JOB-17b": Row(530, "A shutdown has been triggered. Can not accept new jobs", cs=RUNTIME, masked=True),
    "CS-DEP-01": Row(
        530,
        "Please provide only one of the following parameters - template ID, volume ID or snapshot ID",
        cs=RUNTIME,
        masked=True,
    ),
    "CS-DEP-03": Row(
        431,
        "Unable to execute API command {command} due to invalid value. Invalid value provided for API arg: name - it can contain ASCII letters "
        "'a' through 'z', the digits '0' through '9', and the hyphen ('-'), must be between 1 and 63 characters long, and can't start or end "
        'with "-" and can\'t start with digit',
        cs=API,
    ),
    "CS-DEP-04": Row(431, "The vm with hostName {name} already exists in the network domain: {domain}; network={network}"),
    "CS-DEP-05": Row(431, "ipToNetworkMap can't be specified along with networkIds or ipAddress"),
    "CS-DEP-06": Row(431, "At least 1 default network has to be specified for the vm"),
    "CS-DEP-07": Row(
        431,
        "Unable to deploy VM as template {template} is password enabled, but there is no support for UserData service in the default network {network}",
    ),
    "CS-DEP-07b": Row(
        431,
        "Unable to deploy VM as UserData is provided while deploying the VM, but there is no support for UserData service in the default network {network}/{id}.",
    ),
    "CS-DEP-07c": Row(
        431,
        "Unable to deploy VM as SSH key is provided while deploying the VM, but there is no support for UserData service in the default network {network}",
    ),
    "CS-DEP-12": Row(534, "There are no available pools in the UP state for vm deployment", cs=RUNTIME, masked=True),
    "CS-DEP-08": Row(431, "Need to specify custom parameter values cpu, cpu speed and memory when using custom offering"),
    "CS-DEP-08b": Row(431, "Invalid {what} value, specify a value between {low} and {high}"),
    "CS-DEP-08c": Row(431, "cpuNumber or cpuSpeed or memory should not be specified for static service offering"),
    "CS-DEP-09": Row(431, "bootmode must be specified for the VM with boot type: UEFI. Valid values are: [LEGACY, SECURE]"),
    "CS-DEP-09b": Row(431, "Invalid bootType {value}Specified for vm {name} Valid values are: [UEFI, BIOS]"),
    "CS-DEP-09c": Row(431, "Invalid bootmode: {value} specified for VM: {name}. Valid values are: [LEGACY, SECURE]"),
    "CS-DEP-14": Row(531, "Please check your permissions, you are not allowed to create/update custom id", cs=DENIED),
    "CS-DEP-14b": Row(431, "UUID: {id} already exists so can't create/update with custom id"),
    "CS-DEP-17": Row(
        530,
        'Cannot invoke "org.apache.cloudstack.api.ApiConstants$BootMode.toString()" because the return value of '
        '"org.apache.cloudstack.api.command.user.vm.BaseDeployVMCmd.getBootMode()" is null',
        cs=API,
        masked=True,
    ),
    "CS-STA-01": Row(431, "The virtual machine {id} ({name}) is already running"),
    "CS-STA-02": Row(530, 'Unable to orchestrate the start of VM instance {{"instanceName":"{instance}","uuid":"{id}"}}.'),
    "CS-STA-03": Row(530, "Unable to create deployment, no usable volumes found for the VM: {id}"),
    "CS-STA-04": Row(530, "Unable to deploy VM [{id}] because the ROOT volume is missing."),
    "CS-STA-05": Row(533, "No destination found for a deployment for {vm}"),
    "CS-STA-05b": Row(530, "Unable to start a VM [{id}] due to insufficient capacity."),
    "CS-STA-05c": Row(
        530, "Unable to start a VM [{id}] due to [Unable to create a deployment for {vm} after {n} attempts]."
    ),
    "CS-STA-06": Row(530, "Template for the VM instance can not be found, VM instance configuration needs to be updated"),
    "CS-STP-02": Row(530, "Unable to stop {vm}"),
    "CS-STP-03": Row(530, "Account does not have the permission to force stop the vm."),
    "CS-STP-04": Row(
        530, "Unable to stop the VM due to Simulated failure", "Unable to stop the Instance due to Simulated failure"
    ),
    "CS-REB-01": Row(
        431,
        "The virtual machine {id} ({name}) is not running, unable to reboot it",
        "The Instance {id} ({name}) is not running, unable to reboot it",
    ),
    "CS-UPD-04": Row(
        530,
        'Cannot invoke "java.lang.Integer.intValue()" because the return value of "com.cloud.offering.ServiceOffering.getCpu()" is null',
        cs=API,
        masked=True,
    ),
    "CS-DES-01b": Row(
        530, "Parameter expunge can be passed by Admin only. Or when the allow.user.expunge.recover.vm key is set."
    ),
    "CS-DES-07": Row(530, "Failed to destroy vm with specified vmId"),
    "CS-DES-07b": Row(530, "Unable to delete vm snapshots for {vm}"),
    "CS-DES-01": Row(530, "Account does not have permission for expunging."),
    "CS-DES-03": Row(431, "Instance [id = {id}, name = {instance}] has delete protection enabled and cannot be deleted."),
    "CS-DES-04": Row(
        530,
        "There is/are unbacked up snapshot(s) on ROOT volume, vm destroy is not permitted, please try again later.",
        "There is/are unbacked up Snapshot(s) on ROOT volume, Instance destroy is not permitted, please try again later.",
    ),
    "CS-EXP-01": Row(530, "Please destroy vm with specified vmId before expunge"),
    "CS-EXP-02": Row(
        530, "Expunging a vm can only be done by an Admin. Or when the allow.user.expunge.recover.vm key is set."
    ),
    "CS-REC-01": Row(431, "Vm with id {id} is not in the right state"),
    "CS-REC-02": Row(
        531, "Recovering a vm can only be done by an Admin. Or when the allow.user.expunge.recover.vm key is set.", cs=DENIED
    ),
    "CS-NIC-01": Row(
        431, "NIC cannot be {what} VM with VM Snapshots", "NIC cannot be {what} Instance with Instance Snapshots"
    ),
    "CS-NIC-02": Row(530, "A NIC already exists for VM:{instance} in network: {network}"),
    "CS-NIC-03": Row(
        431,
        "Unable to remove nic from {vm} in {network}, nic is default.",
        "Unable to remove NIC from {vm} in {network}, NIC is default.",
    ),
    "CS-NIC-07": Row(
        530,
        "Network {network} already has a vm with host name: {name}",
        "Network {network} already has an Instance with host name: {name}",
    ),
    "CS-NIC-08": Row(431, "{card} is not a NIC on {vm}"),
    "CS-NIC-08b": Row(431, "{card} is not a NIC on  {vm}"),
    "CS-NIC-09": Row(
        530,
        "Unable to add NIC to {vm}: com.cloud.exception.ResourceUnavailableException: Resource [DataCenter:{zone}] is unreachable: "
        "Unable to add vm {vm} to network, is not in the right state",
    ),
    "CS-NIC-09b": Row(
        530,
        "Unable to remove {network} from {vm}: com.cloud.exception.ResourceUnavailableException: Resource [DataCenter:{zone}] is unreachable: "
        "Unable to remove vm {vm} from network, is not in the right state",
        "Unable to remove {network} from {vm}: com.cloud.exception.ResourceUnavailableException: Resource [DataCenter:{zone}] is unreachable: "
        "Unable to remove Instance {vm} from Network, is not in the right state",
    ),
    "CS-NIC-09c": Row(530, "refusing to set default {vm} is not Running or Stopped"),
    "CS-NIC-10": Row(530, "{vm} is in zone: {zone} but {network} is in zone: {other}"),
    "CS-NIC-04": Row(
        530,
        "refusing to set default nic because chosen nic is already the default",
        "refusing to set default NIC because chosen NIC is already the default",
    ),
    "CS-NIC-05": Row(530, "A NIC with this MAC address exists for network: {network}"),
    "CS-VOL-01": Row(431, "At least one of disk Offering ID or snapshot ID must be passed whilst creating volume"),
    "CS-VOL-02": Row(431, "This disk offering requires a custom size specified"),
    "CS-VOL-02b": Row(431, "This disk offering does not allow custom size"),
    "CS-VOL-02c": Row(431, "Disk size must be larger than 0"),
    "CS-VOL-02d": Row(
        431, "Disk Offering ID cannot be passed whilst creating volume from snapshot other than ROOT disk snapshots"
    ),
    "CS-VOL-07": Row(432, "The volume is attached to a VM with memory&disk VM snapshots; therefore, it cannot be resized."),
    "CS-VOL-07b": Row(
        432,
        "A volume that is attached to a VM with any VM snapshots cannot be resized.",
        "A volume that is attached to a Instance with any Instance Snapshots cannot be resized.",
    ),
    "CS-VOL-09": Row(432, "Unable to shrink volumes of type QCOW2"),
    "CS-VOL-09b": Row(530, "Failed to resize volume operation of volume UUID: [{id}] due to - Failed to resize"),
    "CS-VOL-09d": Row(
        432, "Volume should be in ready or allocated state before attempting a resize. Volume {id} is in state {value}."
    ),
    "CS-VOL-09e": Row(
        432,
        "Going from existing size of {before} to size of {after} would shrink the volume.Need to sign off by supplying the shrinkok parameter "
        "with value of true.",
    ),
    "CS-VOL-09c": Row(
        530, "There is/are unbacked up snapshot(s) on this volume, resize volume is not permitted, please try again later."
    ),
    "CS-VOL-11": Row(
        431,
        "Volume cannot be migrated, please remove all VM snapshots for VM to which this volume is attached",
        "Volume cannot be migrated, please remove all Instance Snapshots for Instance to which this volume is attached",
    ),
    "CS-VOL-10": Row(
        531,
        'Cannot perform this operation, Zone: Zone {{"id": "{n}", "name": "{name}", "uuid": "{id}"}} is currently disabled',
        cs=DENIED,
    ),
    "CS-VOL-03": Row(431, "Snapshot {id} is not in BackedUp state yet and can't be used for volume creation"),
    "CS-ATT-00": Row(431, "Please specify a volume with the valid type: ROOT or DATADISK"),
    "CS-ATT-01": Row(431, "Please specify a volume that is not attached to any VM."),
    "CS-ATT-02": Row(431, "Please specify a volume that is not destroyed."),
    "CS-ATT-03": Row(431, "Volume state must be in Allocated, Ready or in Uploaded state"),
    "CS-ATT-04": Row(431, "Please specify a VM that is either running or stopped."),
    "CS-ATT-05": Row(431, "Please specify a VM that is in the same zone as the volume."),
    "CS-ATT-06": Row(431, ROOT_STATE),
    "CS-ATT-07": Row(431, MANAGED),
    "CS-ATT-08": Row(431, "Vm already has root volume attached to it"),
    "CS-ATT-09": Row(
        431, "The specified VM already has the maximum number of data disks ({n}) attached. Please specify another VM."
    ),
    "CS-ATT-10": Row(
        431,
        "Unable to attach volume to VM {instance}/{id}, please specify a VM that does not have VM snapshots",
        "Unable to attach volume to Instance {instance}/{id}, please specify an Instance that does not have Instance Snapshots",
    ),
    "CS-ATT-11": Row(431, "Unable to attach volume, please specify a VM that does not have any backups"),
    "CS-ATT-12": Row(431, "Can't attach a volume created by: {value} to a {mine} vm"),
    "CS-ATT-13": Row(530, "deviceId should be 0,1,2,4-{n}"),
    "CS-ATT-14": Row(530, "deviceId {n} is used by vol {volume} on vm {vm}"),
    "CS-ATT-19": Row(530, "This volume is already attached to a VM."),
    "CS-ATT-20": Row(530, "Failed to attach volume {volume} to VM {vm}; Simulated failure"),
    "CS-ATT-22": Row(530, "Volume: {volume} is in {value}. It should be in Ready or Allocated state"),
    "CS-ATT-21": Row(530, "Entity {vm} and entity {volume} belong to different accounts"),
    "CS-DET-01": Row(431, "Please provide either a volume id, or a tuple(device id, instance id)"),
    "CS-DET-02": Row(431, "The specified volume is not attached to a VM."),
    "CS-DET-03": Row(431, "Please specify a VM that is either running or stopped."),
    "CS-DET-04": Row(431, ROOT_STATE),
    "CS-DET-05": Row(431, MANAGED),
    "CS-DET-06": Row(
        431,
        "Unable to detach volume, please specify a VM that does not have VM snapshots",
        "Unable to detach volume, please specify an Instance that does not have Instance Snapshots",
    ),
    "CS-DET-07": Row(431, "Unable to detach volume, cannot detach volume from a VM that has backups."),
    "CS-DET-08": Row(530, 'Cannot invoke "java.lang.Long.longValue()" because "volumeId" is null'),
    "CS-DET-08b": Row(530, "Index 0 out of bounds for length 0"),
    "CS-DET-09": Row(530, "Failed to detach volume {volume} from VM {vm}; Simulated failure"),
    "CS-DET-12": Row(530, PERMISSION),
    "CS-DEL-01": Row(431, "Please specify a volume that is not attached to any VM."),
    "CS-DEL-02": Row(431, "There are snapshot operations in progress on the volume, unable to delete it"),
    "CS-DEL-03": Row(431, "Volume [id = {id}, name = {name}] has delete protection enabled and cannot be deleted."),
    "CS-DEL-06": Row(530, "Volume is Attaching", cs=RUNTIME, masked=True),
    "CS-VSC-02": Row(431, "KVM VM does not allow to take a disk-only snapshot when VM is in running state"),
    "CS-VSC-02b": Row(530, "We only support create vm snapshots from vm with QCOW2 image", cs=RUNTIME),
    "CS-VSC-03": Row(
        431,
        "Creating vm snapshot failed due to VM:{n} is not in the running or Stopped state",
        "Creating Instance Snapshot failed because Instance:{n} is not in Running or Stopped state",
    ),
    "CS-VSC-04": Row(
        431,
        "Can not snapshot memory when VM is not in Running state",
        "Can not Snapshot memory when the Instance is not in Running state",
    ),
    "CS-VSC-05": Row(
        530,
        "Unable to find root volume for the user vm:{id}",
        "Unable to find root volume for the user Instance:{id}",
        cs=RUNTIME,
    ),
    "CS-VSC-06": Row(
        530,
        "No strategy was able to handle requested snapshot for VM [{id}].",
        "No strategy was able to handle requested snapshot for Instance [{id}].",
        cs=RUNTIME,
    ),
    "CS-VSC-06b": Row(
        530,
        "Creating a snapshot of a running KVM instance without memory is not supported",
        "Creating a Snapshot of a running KVM Instance without memory is not supported",
        cs=RUNTIME,
    ),
    "CS-VSC-06c": Row(
        530,
        "KVM does not support the type of snapshot requested",
        "KVM does not support the type of Snapshot requested",
        cs=RUNTIME,
    ),
    "CS-VSC-07": Row(
        530,
        "Creating vm snapshot failed due to a VM can just have : {n} VM snapshots. Please delete old ones",
        "Creating Instance Snapshot failed due to a Instance can just have : {n} Instance Snapshots. Please delete old ones",
        cs=RUNTIME,
    ),
    "CS-VSC-08": Row(
        530,
        "There is other active volume snapshot tasks on the instance to which the volume is attached, please try again later.",
        "There are other active volume Snapshot tasks on the Instance to which the volume is attached, please try again later.",
        cs=RUNTIME,
    ),
    "CS-VSC-09": Row(
        530,
        "There is other active vm snapshot tasks on the instance, please try again later",
        "There are other active Instance Snapshot tasks on the Instance, please try again later",
        cs=RUNTIME,
    ),
    "CS-VSC-11": Row(
        530,
        "Creating VM snapshot: {name} failed due to  Create VM snapshot failed due to org.libvirt.LibvirtException: Domain not found: "
        "no domain with matching name '{instance}'",
    ),
    "CS-VSC-13": Row(
        530,
        "Could not freeze VM.Failed to freeze VM - {instance} due to Domain not found: no domain with matching name '{instance}'",
        "Could not freeze Instance.Failed to freeze VM - {instance} due to Domain not found: no domain with matching name '{instance}'",
    ),
    "CS-VSC-14": Row(
        530,
        'Cannot invoke "org.apache.cloudstack.storage.datastore.db.StoragePoolVO.getPoolType()" because "storagePoolVO" is null',
        cs=API,
        masked=True,
    ),
    "CS-VSC-16": Row(
        530,
        "Cannot create a disk-only snapshot for stopped UEFI VM [{id}] on host [1] because the active NVRAM state is expected on last host [null]. "
        "Make the last host available or start the VM on a UEFI-capable KVM host before retrying.",
    ),
    "CS-VSR-01": Row(
        431,
        "VM Snapshot revert not allowed. This will result in VM state change. You can revert running VM to disk and memory type snapshot and stopped VM "
        "to disk type snapshot",
        "Reverting to the Instance Snapshot is not allowed for running Instances as this would result in an Instance state change. For running Instances "
        "only Snapshots with memory can be reverted. In order to revert to a Snapshot without memory you need to first stop the Instance.",
    ),
    "CS-VSR-01b": Row(
        431,
        "VM Snapshot revert not allowed. This will result in VM state change. You can revert running VM to disk and memory type snapshot and stopped VM "
        "to disk type snapshot",
        "Reverting to the Instance Snapshot is not allowed for stopped Instances when the Snapshot contains memory as this would result in an Instance "
        "state change. In order to revert to a Snapshot with memory you need to first start the Instance.",
    ),
    "CS-VSR-02": Row(
        431,
        "VM Snapshot reverting failed due to vm snapshot is not in the state of Created.",
        "Instance Snapshot reverting failed because the Instance Snapshot is not in Created state.",
    ),
    "CS-VSR-02b": Row(
        431,
        "VM Snapshot reverting failed due to vm is not in the state of Running or Stopped.",
        "Instance Snapshot reverting failed because the Instance is not in Running or Stopped state.",
    ),
    "CS-VSR-03": Row(
        431,
        "There is other active vm snapshot tasks on the instance, please try again later",
        "There are other active Instance Snapshot tasks on the Instance, please try again later",
    ),
    "CS-VSR-03b": Row(
        431,
        "There is other active vm snapshot tasks on the instance, please try again later",
        "There is other active Instance Snapshot tasks on the Instance, please try again later",
    ),
    "CS-VSR-05": Row(530, "Error reverting VM snapshot [{id}]."),
    "CS-VSR-05b": Row(530, "Unable to revert VM {instance} to snapshot {name}."),
    "CS-VSD-01": Row(
        431,
        "Can't delete the vm snapshotshot {row} due to it is not in Created or Error, or Expunging State",
        "Can't delete the Instance Snapshotshot {row} due to it is not in Created or Error, or Expunging State",
    ),
    "CS-VSD-03": Row(530, "Failed to delete vm snapshot", "Failed to delete Instance Snapshot"),
    "CS-DEL-05": Row(431, "The volume in Allocated/Uploaded state can only be expunged not destroyed/recovered"),
    "CS-SNP-01": Row(
        530,
        "KVM Snapshot is not supported for Running VMs. It is disabled by default due to a possible volume corruption in certain cases. To enable it "
        "set global settings kvm.snapshot.enabled to True. See the documentation for more details.",
        cs=RUNTIME,
        masked=True,
    ),
    "CS-SNP-01b": Row(
        530,
        "Creating snapshot failed due to volume:{n} is associated with vm:{vm_n} is in {value} state",
        "Creating snapshot failed due to volume: {volume} is associated with vm: {vm} is in {value} state",
        cs=RUNTIME,
        masked=True,
    ),
    "CS-SNP-03": Row(
        431,
        "There is other active snapshot tasks on the instance to which the volume is attached, please try again later",
    ),
    "CS-SNP-04": Row(
        530,
        "There is other active vm snapshot tasks on the instance to which the volume is attached, please try again later",
        "There is other active Instance Snapshot tasks on the Instance to which the volume is attached, please try again later",
        cs=RUNTIME,
        masked=True,
    ),
    "CS-SNP-05": Row(
        432,
        "Failed to create snapshot due to unsupported operation: Unable to find a snapshot strategy to create snapshot [{snapshot}] of volume [{volume}]. "
        "Please check the logs.",
        "Failed to create Snapshot due to unsupported operation: Unable to find a snapshot strategy to create snapshot [{snapshot}] of volume [{volume}]. "
        "Please check the logs.",
    ),
    "CS-SNP-05b": Row(
        530,
        "Failed to create snapshot due to an internal error creating snapshot for volume {volume}",
        "Failed to create Snapshot due to an internal error creating Snapshot for volume {volume}",
    ),
    "CS-SNP-07": Row(
        431,
        "Unable to revert snapshot for VM, please remove VM snapshots before reverting VM from snapshot",
        "Unable to revert Snapshot for Instance, please remove Instance Snapshots before reverting Instance from Snapshot",
    ),
    "CS-SNP-08": Row(431, "The snapshot [{snapshot}] is part of a [GROUP] snapshots and cannot be {what} separately"),
    "CS-SNP-02": Row(431, "Volume: {volume} is not in Ready state but {value}. Cannot take snapshot."),
    "CS-SNP-06": Row(
        431,
        "The VM the specified disk is attached to is not in the shutdown state.",
        "The Instance the specified disk is attached to is not in the shutdown state.",
    ),
    "CS-SNP-09": Row(431, "The volume is not in Ready state."),
    "CS-SNP-10": Row(
        530,
        "Revert snapshot command failed for snapshot {snapshot}, because this command is supported only for KVM hypervisor",
    ),
    "CS-SNP-11": Row(431, "Snapshot [{snapshot}] is already destroyed"),
    "CS-SNP-12": Row(
        530,
        "Failed to delete snapshot:com.cloud.exception.InvalidParameterValueException: Can't delete snapshot {snapshot} due to it is in {value} Status",
    ),
    "CS-TAG-01": Row(530, "tag {key} already on {kind} with id {id}"),
    "CS-TAG-02": Row(431, "Value for the key {key} is either null or empty"),
    "CS-TAG-02b": Row(530, "Command failed due to Internal Server Error"),
    "CS-TAG-03": Row(530, "Failed to delete tags"),
    "CS-TAG-05": Row(431, "Invalid resource type {kind}"),
    "CS-TAG-05b": Row(431, "The resource type {kind} doesn't support resource tags"),
    "CS-TAG-06": Row(431, "Unable to find resource by uuid {id} and type {kind}"),
    "CS-TAG-06b": Row(530, PERMISSION),
    "CS-WIR-25": Row(431, "Specify either id or ids but not both parameters"),
    "CS-LST-05": Row(431, "No value is passed in for key {key}"),
}


def refuse(rule: str, wording: str = "W2", **values: object) -> Refused:
    """The refusal of a rule, with its text filled in for this wording generation."""
    row = ROWS[rule]
    text = row.new if wording == "W2" and row.new is not None else row.text
    return Refused(row.code, text.format(**values), row.cs, row.masked)
