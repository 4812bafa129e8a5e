from limen.adapt.leave_one_out import leave_one_out as leave_one_out
from limen.adapt.linear_probe import LinearProbe as LinearProbe
from limen.adapt.probe_path import probe_path as probe_path
from limen.records.budget import Budget as Budget
from limen.records.comparison import Comparison as Comparison
from limen.records.errors import LimenError as LimenError
from limen.records.estimate import Estimate as Estimate
from limen.records.learning_curve import LearningCurve as LearningCurve
from limen.records.report import Report as Report
from limen.verbs.budget import budget as budget
from limen.verbs.check import check as check
from limen.verbs.compare import compare as compare
from limen.verbs.demo import demo as demo
from limen.verbs.doctor import doctor as doctor
from limen.verbs.init import init as init
from limen.verbs.inspect import explain as explain
from limen.verbs.inspect import gc as gc
from limen.verbs.inspect import status as status
from limen.verbs.inspect import verify as verify
from limen.verbs.learning_curve import learning_curve as learning_curve
from limen.verbs.predict import predict as predict
from limen.verbs.report import report as report
from limen.verbs.run import run as run

__version__: str
