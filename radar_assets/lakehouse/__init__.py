"""Tables, the catalog that commits them and the engines that compute them; knows nothing of events or metrics."""
