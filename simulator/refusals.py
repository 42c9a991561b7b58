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
    "CS-WIR-18": Row(431, "Unable to find UUID for id [{n}] of type [{kind}]"),
    "CS-WIR-27": Row(531, PERMISSION, cs=DENIED),
    "CS-WIR-28": Row(530, PERMISSION, cs=API),
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
    "CS-STA-05": Row(
        533,
        'No destination found for a deployment for VM instance {{"id":{n},"instanceName":"{instance}","state":"Stopped","type":"User","uuid":"{id}"}}',
    ),
    "CS-STA-05b": Row(530, "Unable to start a VM [{id}] due to insufficient capacity."),
    "CS-STP-02": Row(
        530,
        'Unable to stop VM instance {{"id":{n},"instanceName":"{instance}","state":"Running","type":"User","uuid":"{id}"}}',
    ),
    "CS-STP-03": Row(530, "Account does not have the permission to force stop the vm."),
    "CS-STP-04": Row(
        530, "Unable to stop the VM due to Simulated failure", "Unable to stop the Instance due to Simulated failure"
    ),
    "CS-REB-01": Row(431, "The Instance {id} ({name}) is not running, unable to reboot it"),
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
    "CS-VOL-01": Row(431, "At least one of disk Offering ID or snapshot ID must be passed whilst creating volume"),
    "CS-VOL-02": Row(431, "This disk offering requires a custom size specified"),
    "CS-VOL-02b": Row(431, "This disk offering does not allow custom size"),
    "CS-VOL-02c": Row(431, "Disk size must be larger than 0"),
    "CS-VOL-02d": Row(
        431, "Disk Offering ID cannot be passed whilst creating volume from snapshot other than ROOT disk snapshots"
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
    "CS-ATT-12": Row(431, "Can't attach a volume created by: {value} to a KVM vm"),
    "CS-ATT-13": Row(530, "deviceId should be 0,1,2,4-{n}"),
    "CS-ATT-14": Row(530, "deviceId {n} is used by vol {volume} on vm {vm}"),
    "CS-ATT-19": Row(530, "This volume is already attached to a VM."),
    "CS-ATT-20": Row(530, "Failed to attach volume {volume} to VM {vm}; Simulated failure"),
    "CS-ATT-22": Row(530, "Volume: {volume} is in {value}. It should be in Ready or Allocated state"),
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
    "CS-SNP-01": Row(
        530,
        "KVM Snapshot is not supported for Running VMs. It is disabled by default due to a possible volume corruption in certain cases. To enable it "
        "set global settings kvm.snapshot.enabled to True. See the documentation for more details.",
        cs=RUNTIME,
        masked=True,
    ),
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
        "Failed to delete snapshot:com.cloud.exception.InvalidParameterValueException: Can't delete snapshot {snapshot} due to it is in BackingUp Status",
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
