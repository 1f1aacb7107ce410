"""Tables, the catalog that commits them and the engines that compute them. Knows nothing about events or metrics."""
