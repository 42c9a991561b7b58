"""The commands, by subject. Importing this package registers all of them."""

from __future__ import annotations

from simulator.commands import (
    accounts,
    addresses,
    balancing,
    catalogue,
    configuration,
    events,
    groups,
    images,
    infrastructure,
    jobs,
    keypairs,
    networks,
    nic_addresses,
    nics,
    offerings,
    policies,
    projects,
    reshaping,
    restoring,
    rules,
    security_groups,
    snapshots,
    tags,
    vm_snapshots,
    vms,
    volume_changes,
    volumes,
)

__all__ = [
    "ELSEWHERE",
    "accounts",
    "addresses",
    "balancing",
    "catalogue",
    "configuration",
    "events",
    "groups",
    "images",
    "infrastructure",
    "jobs",
    "keypairs",
    "networks",
    "nic_addresses",
    "nics",
    "offerings",
    "policies",
    "projects",
    "reshaping",
    "restoring",
    "rules",
    "security_groups",
    "snapshots",
    "tags",
    "vm_snapshots",
    "vms",
    "volume_changes",
    "volumes",
]

# Commands that the real server has and this one has not: they exist, so that nobody is told that his credentials are wrong.
# All that Ansible's collection and Libcloud's driver call is here or among the commands, but for what plug-ins bring.
_ELSEWHERE = """
    addCluster addHost addImageStore addRegion addTrafficType archiveAlerts archiveEvents cancelHostMaintenance
    cancelStorageMaintenance changeServiceForRouter configureInternalLoadBalancerElement configureVirtualRouterElement
    createAccount createDomain createNetworkACL createNetworkACLList createNetworkOffering createPhysicalNetwork
    createPod createRole createRolePermission createStoragePool createUser createVPC createVPCOffering
    createVlanIpRange createVpnConnection createVpnCustomerGateway createVpnGateway createZone deleteAccount
    deleteAlerts deleteCluster deleteDomain deleteEvents deleteHost deleteImageStore deleteNetworkACL
    deleteNetworkACLList deleteNetworkOffering deletePhysicalNetwork deletePod deleteRole deleteRolePermission
    deleteStoragePool deleteTrafficType deleteUser deleteVPC deleteVPCOffering deleteVlanIpRange deleteVpnConnection
    deleteVpnCustomerGateway deleteVpnGateway deleteZone destroyRouter disableAccount disableUser enableAccount
    enableStorageMaintenance enableUser generateUsageRecords getCloudIdentifier getUploadParamsForTemplate
    getUploadParamsForVolume getUserKeys getVMPassword listDomainChildren listGuestOsMapping
    listInternalLoadBalancerElements listNetworkServiceProviders listRolePermissions listStorageProviders
    listTrafficTypes listUsageRecords listVirtualRouterElements lockUser moveUser prepareHostForMaintenance
    rebootRouter registerUserKeys removeRegion replaceNetworkACLList restartVPC startRouter stopRouter updateCluster
    updateDomain updateHost updateNetworkACLItem updateNetworkOffering updateNetworkServiceProvider
    updatePhysicalNetwork updatePod updateRegion updateResourceCount updateRole updateRolePermission updateStoragePool
    updateTrafficType updateUser updateVPC updateVPCOffering updateVpnCustomerGateway updateZone uploadVolume
"""
ELSEWHERE = frozenset(_ELSEWHERE.split())
