"""When Python looks for garbage that refers to itself: seldom, for there is hardly any here."""

import gc

NEW_OBJECTS = 50_000


def collect_seldom() -> None:
    """For a whole process. A batch of events makes some hundred thousand objects that live until it is written, and every look
    walks over all of them: a third of the time of a fold. What does not refer to itself is freed at once all the same.
    """
    gc.freeze()  # what the modules hold stays for ever
    gc.set_threshold(NEW_OBJECTS, *gc.get_threshold()[1:])
