"""The series: what is measured, one module for each. ``catalogue.py`` lists them.

A series' ``measure`` makes one measurement of one case and returns its figures as a flat mapping.
Names end in their unit; ``_r`` and ``_h`` are multiples of the references R and H.
"""
