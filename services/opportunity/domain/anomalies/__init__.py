"""What is abnormal (R2): the limits as data, what exceeds them since when, and how that is told."""
