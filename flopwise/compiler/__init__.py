"""From a traced program to a plan: passes over the graph, the spec, lowering, and the artifact."""
