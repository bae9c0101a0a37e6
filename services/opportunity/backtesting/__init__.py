"""Back-tests of gates (R5): a rule, stored or only thought of, over all that is on record; in a process of their own."""
