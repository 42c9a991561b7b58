"""Which VM a row of the replication system means: the one place where a key is made of what other programs wrote.

`store.joining` asks it for every row, `store.legacy` and `store.mappings` for the rows of one VM. A context goes before
everything else: only it is a key there. The columns meant for a VMware uuid hold names and context ids as well. A uuid
counts in lower case, anything else exactly as it is written; a key that is no uuid is told apart, and never failed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from reconciler.store.rows import ContextRow, JobRow
from specs.values import is_uuid


class Identities:
    """What contexts and jobs say of who is who."""

    def __init__(self, contexts: Iterable[ContextRow], jobs: Iterable[JobRow]) -> None:
        stated = {c.context_id: key(c.vmware_vm_id) or c.context_id for c in contexts}
        unstated = frozenset(context for context, vm in stated.items() if not is_uuid(vm))
        for job in sorted(jobs, key=_by_age) if unstated else ():
            if job.vm_context_id in unstated and is_uuid(job.source_vm_id):
                stated[job.vm_context_id] = job.source_vm_id.lower()
        self.contexts: Mapping[str, str] = stated
        """The key of the VM of every context; a uuid wherever the context or one of its jobs has one."""

    def vm(self, named: str, context: str = "") -> str:
        """The key of the VM that a row means by a context, or else by whatever it calls the VM."""
        return self.contexts.get(context) or self.contexts.get(named) or key(named)

    def job(self, job: JobRow) -> str:
        """The key of the VM that a job replicates."""
        return self.vm(job.source_vm_id, job.vm_context_id)


def key(named: str) -> str:
    """A uuid in lower case, anything else as it stands."""
    return named.lower() if is_uuid(named) else named


def _by_age(job: JobRow) -> tuple[str, str]:
    return job.created_at, job.id
