"""Error-proofing (R5): rules as data, who may concede what, and leave to pass without what a rule requires."""
