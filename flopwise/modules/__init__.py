"""What users write with: signatures, modules, choices, programs and the combinators between them.

The files here are what every module is made of and every program is written with. The rooms beside them hold the
module library: `prompting`, `tools`, `retrieval`, `judging`, `selection`, `search`, `spending`, `stacks` and
`importers`. Rooms import these files, never the other way round; which room may import which is a test of the house.
"""
