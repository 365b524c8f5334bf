"""Judging: modules over records, which weigh, check, criticise, order, mend or merge them."""
