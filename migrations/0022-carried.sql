-- Found by its event: at how many carriers something of the owner's waits is shown with it.
CREATE INDEX outbox_of_event ON outbox (node_id, peer_id, event_id);
