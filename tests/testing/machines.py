"""Machines as users write them."""

from __future__ import annotations

from transitions import Machine


class Order:
    """A model as users write them: it owns its machine and logs its callbacks."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.machine = Machine(
            self,
            states=["cart", "paid", "sent", "gone"],
            initial="cart",
            auto_transitions=False,
            transitions=[
                {"trigger": "pay", "source": "cart", "dest": "paid", "conditions": "covered"},
                {"trigger": "pay", "source": "cart", "dest": None, "after": "dun"},
                {"trigger": "send", "source": "paid", "dest": "sent", "unless": ["held"]},
                {"trigger": "lose", "source": ["paid", "sent"], "dest": "gone"},
                {"trigger": "check", "source": "*", "dest": "="},
            ],
        )

    def covered(self) -> bool:
        self.log.append("covered?")
        return False

    def held(self) -> bool:
        return True

    def dun(self) -> None:
        self.log.append("dun")


class Model:
    """Nothing of its own."""


class Lamp(Machine):
    """A machine of a user's own class."""

    def __init__(self) -> None:
        super().__init__(states=["off", "on"], initial="off", auto_transitions=False, name="lamp")
        self.add_transition("press", "off", "on", conditions=lambda: True)
        self.add_transition("press", "on", "off", conditions=lambda: False)
        self.add_transition("press", "on", None)
