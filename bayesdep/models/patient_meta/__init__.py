"""Individual-patient meta-analysis, with effects by study and along moderators."""
