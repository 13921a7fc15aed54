# The public names, written once: type checkers and recovery.lazy read them here.

from goalfsm.cluster.engine import ClusterEngine as ClusterEngine
from goalfsm.daemon.engine import Engine as Engine
from goalfsm.errors import GoalError as GoalError
from goalfsm.errors import Remedy as Remedy
from goalfsm.goal.compiler import Row as Row
from goalfsm.goal.machine import STATES as STATES
from goalfsm.goal.machine import TRANSITIONS as TRANSITIONS
from goalfsm.goal.machine import GoalMachine as GoalMachine
from goalfsm.goal.machine import default_machine as default_machine
from goalfsm.goal.machine import goal_machine as goal_machine
from goalfsm.goal.model import Criterion as Criterion
from goalfsm.goal.model import Evidence as Evidence
from goalfsm.goal.model import Goal as Goal
from goalfsm.goal.model import Limits as Limits
from goalfsm.goal.model import Usage as Usage
from goalfsm.goal.model import Verifier as Verifier
from goalfsm.goal.rejection import Rejection as Rejection
from goalfsm.goal.transition import Plan as Plan
from goalfsm.goal.transition import plan as plan
from goalfsm.session import effects as effects
from goalfsm.session import events as events
from goalfsm.session.continuation import Continue as Continue
from goalfsm.session.continuation import Stop as Stop
from goalfsm.session.continuation import Wait as Wait
from goalfsm.session.continuation import decide as decide
from goalfsm.session.continuation import is_success as is_success
from goalfsm.session.policy import Policy as Policy
from goalfsm.session.state import Context as Context
from goalfsm.session.state import Decision as Decision
from goalfsm.session.state import Reply as Reply
from goalfsm.session.state import Rules as Rules
from goalfsm.session.state import Session as Session
from goalfsm.session.state import Step as Step
from goalfsm.session.thread import GoalThread as GoalThread
from goalfsm.session.thread import Ready as Ready
from goalfsm.session.thread import ReplayError as ReplayError
from goalfsm.session.thread import handle as handle
from goalfsm.session.wake import next_wake as next_wake
from goalfsm.views.status import project as project
from goalfsm.workers.agents.spec import AgentSpec as AgentSpec
from goalfsm.workers.agents.worker import AgentWorker as AgentWorker
from goalfsm.workers.turn import Turn as Turn
from goalfsm.workers.turn import TurnWorker as TurnWorker
from goalfsm.workers.turn import worker as worker

__version__: str
