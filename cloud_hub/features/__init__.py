"""Features of entities: sets with their history, for trainings, and the newest values, for devices.

A set is declared (``declaration``) and kept by ``sets``. Its rows come from a file (``row_files``),
a query (``sql_source``) or a function (``python_source``), are checked by ``intake`` and listed by
``history_store``. ``set_history`` reads the files, ``joining`` joins labels with them as of their
moments, ``snapshot`` puts them where a training reads them (``training``).

``giving`` hands the newest values (``online``) to ``service``, which keeps them in ``store`` beside
those that were put by hand, and writes the files that devices get. ``skew_watch`` compares both.
"""
