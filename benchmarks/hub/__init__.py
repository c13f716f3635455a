"""The hub under load: over HTTP on one core, and its parts in this process."""

from cloud_hub.deferred.start import use_one_blas_thread

use_one_blas_thread()  # parts in this process compute as they do in a hub that serves
