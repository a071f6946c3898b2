"""What the user is told, through napari's notifications."""

from __future__ import annotations

from napari.utils.notifications import notification_manager, show_error, show_info, show_warning

from unveil.errors import UnveilError


def tell(message: str) -> None:
    """Show one sentence for which nothing needs to be done."""
    show_info(message)


def warn(message: str) -> None:
    """Show one sentence that the user must not miss, though nothing failed."""
    show_warning(message)


def tell_failure(error: Exception) -> None:
    """Show an error: one sentence for what we foresaw, with its traceback at hand for what we did not."""
    if isinstance(error, UnveilError):
        show_error(str(error))
    else:
        notification_manager.receive_error(type(error), error, error.__traceback__)
