"""Friends who hold mail for each other: asking, holding, leaving and collecting. Implements docs/protocol/carriers.md.

In what follows R is whoever is carried for, C the carrier, S somebody who writes to R. One node is all three at once.
"""
