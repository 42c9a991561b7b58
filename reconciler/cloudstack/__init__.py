"""The one door to CloudStack: reads that are complete or fail, writes that a permit allows or that are never sent.

`reconciler.observe` reads through `client.Client`, `reconciler.perform` writes through the `writer.Writer` it is
handed, `reconciler.loop` asks `jobs.JobBoard` which jobs ended. Nothing outside this package knows `cs`, `requests`,
signatures, envelopes or pages. Waiting for jobs, deadlines, journaling and trying again after a refusal are left to
the engine.
"""
