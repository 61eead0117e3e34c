"""The Matrix side: our application service, the users it speaks through, and text as both sides write it.

For the composition root: `service.MatrixService`, `settings.MatrixSettings`. For the bridge, handed in as arguments:
`users.ghost_id` and the functions of `text`.
"""
