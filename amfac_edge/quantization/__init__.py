"""INT8 as explicit Q/DQ: what is quantised, from which values, at what cost."""
