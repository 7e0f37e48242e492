"""Labels and annotators: whether people still judge as they did, and if not, who changed.

Law of this package: pure. `coincidence` is additive, `streams` and `panel` hold the evidence under continuous looking,
`contrast` looks once at two files, `measures` puts sizes to what moved, `cause` tells one annotator from the guideline
from the task, `verdict` puts it into one judgement. Nothing here reads a clock, a file or a socket.
"""
