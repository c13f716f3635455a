"""The hub under load: over HTTP on one core, and its parts in this process."""

from cloud_hub.deferred.start import one_thread_for_matrices

one_thread_for_matrices()  # parts in this process compute as they do in a hub that serves
