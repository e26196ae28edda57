"""The operations console: NiceGUI pages under ``/console``, over the same functions that the API and the command call.

``guard`` lets nobody past without a session, ``sign_in`` opens one, ``page`` registers views, ``actions`` is the one
way to change anything. A new page is a file in ``pages`` with a function under ``@page``, named in ``pages.ALL``.
"""
