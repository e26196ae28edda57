"""Any address below the console that no page has."""

from canonical_model.errors import NotFoundError
from hub_api.console.page import page
from hub_api.console.view import View


@page("/{unknown:path}", title="error.title")
async def show_unknown(view: View) -> None:
    """Say that there is nothing, within the shell, so that one finds the way on."""
    raise NotFoundError(view.words("error.no_page"), code="page.unknown")
