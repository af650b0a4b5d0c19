"""Fitting: reads labelled replies, writes coefficients.json and the scoring report. Never imported by the
service.
"""
