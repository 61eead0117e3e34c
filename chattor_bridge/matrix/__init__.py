"""The Matrix side: our application service, the users it speaks through, and text as both sides write it.

For the composition root: `service.MatrixService` with `settings.MatrixSettings`, and the module `text`, which is the
bridge's ``TextConversion``.
"""
