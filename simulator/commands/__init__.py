"""The commands, by subject. Importing this package registers all of them."""

from __future__ import annotations

from simulator.commands import (
    accounts,
    addresses,
    balancing,
    catalogue,
    configuration,
    domains,
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
    people,
    places,
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
    "domains",
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
    "people",
    "places",
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
    addCluster addHost addImageStore addRegion addTrafficType archiveAlerts archiveEvents assignVirtualMachine
    cancelHostMaintenance cancelStorageMaintenance changeServiceForRouter configureInternalLoadBalancerElement
    configureVirtualRouterElement createNetworkACL createNetworkACLList createNetworkOffering createPhysicalNetwork
    createPod createRole createRolePermission createStoragePool createVPC createVPCOffering createVlanIpRange
    createVpnConnection createVpnCustomerGateway createVpnGateway createZone deleteAlerts deleteCluster deleteEvents
    deleteHost deleteImageStore deleteNetworkACL deleteNetworkACLList deleteNetworkOffering deletePhysicalNetwork
    deletePod deleteRole deleteRolePermission deleteStoragePool deleteTrafficType deleteVPC deleteVPCOffering
    deleteVlanIpRange deleteVpnConnection deleteVpnCustomerGateway deleteVpnGateway deleteZone destroyRouter
    enableStorageMaintenance generateUsageRecords getCloudIdentifier getUploadParamsForTemplate getUploadParamsForVolume
    getVMPassword importUnmanagedInstance importVm importVolume listGuestOsMapping listInternalLoadBalancerElements
    listNetworkServiceProviders listRolePermissions listStorageProviders listTrafficTypes listUnmanagedInstances
    listUsageRecords listVirtualRouterElements listVolumesForImport moveUser prepareHostForMaintenance rebootRouter
    removeRegion replaceNetworkACLList restartVPC startRouter stopRouter unmanageVirtualMachine unmanageVolume
    updateNetworkACLItem updateNetworkOffering updateNetworkServiceProvider updatePhysicalNetwork updateRegion
    updateResourceCount updateRole updateRolePermission updateTrafficType updateVPC updateVPCOffering
    updateVpnCustomerGateway uploadVolume
"""
ELSEWHERE = frozenset(_ELSEWHERE.split())
