"""How the tasks' losses become one: fixed.py, uncertainty.py, pe_ltr.py. Pure.

trainer/task_weighting.py drives them.
"""
