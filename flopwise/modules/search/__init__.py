"""Search inside one answer: chains of steps or threads of reasoning that grow side by side under a judge."""
