"""Selection: several drafts, and how they come to one answer: votes, the best, the most like the others."""
