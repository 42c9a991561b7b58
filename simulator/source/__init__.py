"""The source side that is not there: VMware's appliance, the replication system's API, the volume daemon.

`estate` holds what is so, `faults` what goes wrong, `services` answer each protocol, `server` puts them behind HTTP.
"""
