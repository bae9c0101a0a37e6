"""Forecast (R2): what may be counted on, what is asked for, what was submitted, and how right that was. Pure."""
