"""The folder of a run, its data cut again, and experiments that train several models.

Names are imported when they are first used: to look into a folder needs no torch.
"""
