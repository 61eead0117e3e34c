


SELECT pg_catalog.set_config('search_path', '', false);




CREATE TABLE public.actions (
    "position" bigint NOT NULL,
    action_id bytea NOT NULL,
    lane text NOT NULL,
    action bytea NOT NULL,
    created_at bigint NOT NULL,
    attempts bigint NOT NULL,
    parked bytea
);



ALTER TABLE public.actions ALTER COLUMN "position" ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.actions_position_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);



CREATE TABLE public.contacts (
    "position" bigint NOT NULL,
    node_id bytea NOT NULL,
    peer_id bytea NOT NULL,
    role text NOT NULL,
    own_static bytea NOT NULL,
    peer_static bytea NOT NULL,
    hosted_seed bytea,
    peer_onion bytea,
    session bytea NOT NULL,
    peer_name bytea NOT NULL,
    alias bytea NOT NULL,
    version bigint NOT NULL,
    capabilities text NOT NULL,
    established boolean NOT NULL,
    created_at bigint NOT NULL
);



ALTER TABLE public.contacts ALTER COLUMN "position" ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.contacts_position_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);



CREATE TABLE public.doors (
    "position" bigint NOT NULL,
    door_id bytea NOT NULL,
    node_id bytea NOT NULL,
    label bytea NOT NULL,
    onion_seed bytea,
    identity_key bytea,
    created_at bigint NOT NULL,
    retired_at bigint
);



ALTER TABLE public.doors ALTER COLUMN "position" ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.doors_position_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);



CREATE TABLE public.event_links (
    node_id bytea NOT NULL,
    peer_id bytea NOT NULL,
    event_id bytea NOT NULL,
    part bigint NOT NULL,
    room_id text NOT NULL,
    matrix_event_id text NOT NULL,
    ours boolean NOT NULL
);



CREATE TABLE public.held_events (
    node_id bytea NOT NULL,
    peer_id bytea NOT NULL,
    seq bigint NOT NULL,
    event bytea NOT NULL,
    received_at bigint NOT NULL
);



CREATE TABLE public.history (
    "position" bigint NOT NULL,
    node_id bytea NOT NULL,
    peer_id bytea NOT NULL,
    event_id bytea NOT NULL,
    direction text NOT NULL,
    text bytea NOT NULL,
    sent_at bigint NOT NULL,
    stored_at bigint NOT NULL,
    delivered_at bigint,
    read_at bigint,
    failure bytea
);



ALTER TABLE public.history ALTER COLUMN "position" ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.history_position_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);



CREATE TABLE public.inbox (
    "position" bigint NOT NULL,
    event_id text NOT NULL,
    room_id text NOT NULL,
    event bytea NOT NULL,
    received_at bigint NOT NULL,
    parked bytea
);



ALTER TABLE public.inbox ALTER COLUMN "position" ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.inbox_position_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);



CREATE TABLE public.knock_attempts (
    "position" bigint NOT NULL,
    knock_id bytea NOT NULL,
    peer_id bytea NOT NULL,
    session bytea NOT NULL,
    created_at bigint NOT NULL
);



ALTER TABLE public.knock_attempts ALTER COLUMN "position" ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.knock_attempts_position_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);



CREATE TABLE public.knock_notices (
    knock_id bytea NOT NULL,
    room_id text NOT NULL,
    matrix_event_id text NOT NULL
);



CREATE TABLE public.known_matrix_events (
    event_id text NOT NULL,
    first_seen bigint NOT NULL
);



CREATE TABLE public.management_rooms (
    "position" bigint NOT NULL,
    room_id text NOT NULL,
    owner text NOT NULL,
    saved_at bigint NOT NULL
);



ALTER TABLE public.management_rooms ALTER COLUMN "position" ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.management_rooms_position_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);



CREATE TABLE public.migrations (
    number bigint NOT NULL,
    name text NOT NULL,
    checksum text NOT NULL,
    applied_at bigint NOT NULL
);



CREATE TABLE public.nodes (
    "position" bigint NOT NULL,
    node_id bytea NOT NULL,
    owner text NOT NULL,
    profile_name bytea NOT NULL,
    running boolean NOT NULL,
    created_at bigint NOT NULL
);



ALTER TABLE public.nodes ALTER COLUMN "position" ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.nodes_position_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);



CREATE TABLE public.outbox (
    node_id bytea NOT NULL,
    peer_id bytea NOT NULL,
    seq bigint NOT NULL,
    event_id bytea NOT NULL,
    envelope bytea NOT NULL,
    event bytea NOT NULL,
    created_at bigint NOT NULL
);



CREATE TABLE public.outgoing_knocks (
    "position" bigint NOT NULL,
    knock_id bytea NOT NULL,
    node_id bytea NOT NULL,
    code bytea NOT NULL,
    note bytea NOT NULL,
    static_key bytea NOT NULL,
    onion_seed bytea NOT NULL,
    state text NOT NULL,
    reason bytea NOT NULL,
    attempts bigint NOT NULL,
    next_attempt_at bigint NOT NULL,
    created_at bigint NOT NULL
);



ALTER TABLE public.outgoing_knocks ALTER COLUMN "position" ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.outgoing_knocks_position_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);



CREATE TABLE public.ownership (
    id bigint NOT NULL,
    generation bigint NOT NULL,
    CONSTRAINT ownership_id_check CHECK ((id = 1))
);



CREATE TABLE public.pending_knocks (
    "position" bigint NOT NULL,
    knock_id bytea NOT NULL,
    node_id bytea NOT NULL,
    door_id bytea NOT NULL,
    peer_id bytea NOT NULL,
    peer_static bytea NOT NULL,
    peer_onion bytea NOT NULL,
    name bytea NOT NULL,
    note bytea NOT NULL,
    capabilities text NOT NULL,
    session bytea NOT NULL,
    received_at bigint NOT NULL,
    ignored boolean NOT NULL
);



ALTER TABLE public.pending_knocks ALTER COLUMN "position" ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.pending_knocks_position_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);



CREATE TABLE public.portals (
    "position" bigint NOT NULL,
    node_id bytea NOT NULL,
    peer_id bytea NOT NULL,
    owner text NOT NULL,
    ghost text NOT NULL,
    room_id text,
    created_at bigint NOT NULL
);



ALTER TABLE public.portals ALTER COLUMN "position" ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.portals_position_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);



CREATE TABLE public.received_events (
    node_id bytea NOT NULL,
    peer_id bytea NOT NULL,
    event_id bytea NOT NULL,
    received_at bigint NOT NULL
);



CREATE TABLE public.secrets (
    name text NOT NULL,
    value bytea NOT NULL
);



CREATE TABLE public.settings (
    name text NOT NULL,
    value bytea NOT NULL
);



CREATE TABLE public.store (
    id bigint NOT NULL,
    key_check bytea NOT NULL,
    CONSTRAINT store_id_check CHECK ((id = 1))
);



CREATE TABLE public.unread (
    "position" bigint NOT NULL,
    room_id text NOT NULL,
    matrix_event_id text NOT NULL,
    event_id bytea
);



ALTER TABLE public.unread ALTER COLUMN "position" ADD GENERATED ALWAYS AS IDENTITY (
    SEQUENCE NAME public.unread_position_seq
    START WITH 1
    INCREMENT BY 1
    NO MINVALUE
    NO MAXVALUE
    CACHE 1
);



INSERT INTO public.actions OVERRIDING SYSTEM VALUE VALUES (1, '\x9bef9ebd3fb416f43e2369b184ce55de', 'lane', '\x01536d49f25376402d7485536b406b11685899b7285780cf750b82e09675badae035f48f898be546ba25043051126845', 5, 0, NULL);



INSERT INTO public.contacts OVERRIDING SYSTEM VALUE VALUES (1, '\x4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e', '\x50505050505050505050505050505050', 'owner', '\x01621ccde61d5f08dbd6a8301f1bdbe8e38be918a87c0045657516a67ddf3559bcb7541a270a18ceae87dfc53cb1a31eb92b22313b04752837990ec29f3af7edd09fa7ff9ec610df70', '\x5353535353535353535353535353535353535353535353535353535353535353', '\x01be67eed7ee43d2de1a9987cd0bba92bd64e3e9f758a7f2aa4560e329856e9b8f1a71635d6d9e10909a107f215250b3868be2432cffb121da7a19451b1d6ea3e8ef5f1748862b4dee', '\x01ae9c0f376109b3d6dbc73d62ee6243049366e86468529bb17d6c1bcc5d25b2bd47a4012c9f6f7395c410721aa5bb73968e90c2f0bc378f5bdce9ad1647897a49577ce953e37cd0cd', '\x01170f8a9b78a6038562c3cd9df7dad4f5516b6b49a051cb281eca5e893a94d87bda15a783d98033e21869399cf17c37c525f4c78d895ec99874429acaabaf4f598364b283ed835f2c', '\x01a6fa801ef60267768e951194bd633c3328b784ba99efd367f4139a52d4cfb4de43406b85a3f5fd37b74fa0738338c1dcae73e0b5f637460619', '\x01954af306b9d0a1fbc1a8eaef7c0aa6bc5e4ee15231119cb1bfbaa294694f844adaf3ed9ca725c553e620f965f2a2a60d4170bdd983', 1, '["text"]', false, 1700000005);



INSERT INTO public.doors OVERRIDING SYSTEM VALUE VALUES (1, '\x44444444444444444444444444444444', '\x4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e', '\x01de2537677d4dc95144d5aa66d74000bb3911e56476d5c25d5e154b3ec562964b406a560ee93d0988b4a61acf5ace2d649120579180', '\x0190fd88292616d861cbb6ca3c2bae241c7964d274c8b1f315ab2939134b3fe59e267a1fd2e6e0bb2ef2e9a6fb0c27c48da784071597ecba84b4af72426b95e752083cf73a12ae23ed', '\x019d2c9d750c8db159c1633bc6345e9e0608b1a6253cdd6bb79c139ef69201d5d63f98dcfaf4c352a427ce33a4b47d7ed7dcd2ca2e53ad0c16bf7b265497bface3630ba3eca5973995', 1700000001, NULL);



INSERT INTO public.event_links VALUES ('\x4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e', '\x50505050505050505050505050505050', '\x00000000000000000000000000000001', 0, '!room:example.org', '$shown', true);



INSERT INTO public.held_events VALUES ('\x4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e', '\x50505050505050505050505050505050', 3, '\x017d90d88d8b07fecfbae8496b039d2ea3bf71a5c4789e40e724e4a2abe603702f24729ee2eea7912136c7475d7c5db0002c5504695dc74b12e9a0', 5);



INSERT INTO public.history OVERRIDING SYSTEM VALUE VALUES (1, '\x4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e', '\x50505050505050505050505050505050', '\x00000000000000000000000000000001', 'in', '\x014e3e0ed8639d25305dca80c1f18072f8ea081b44aa00a0217f36d74ac4889c7ccfeb63e8417ea1f53647289dded1b7ea66bb926964ad09b6da78', 5, 6, NULL, NULL, NULL);



INSERT INTO public.inbox OVERRIDING SYSTEM VALUE VALUES (1, '$waiting', '!room:example.org', '\x01f024ad63121b6a6bd2f09542d9c93fb4ccec2ab9c85ea3b71a25acee44ea2e677f848b52ee0c8ee6d788794fa184cc0402de34997ef6c77db0106aecc91cd45fac81526d2973cecfd37783e8ea55fa734dcc9f4353542cbf5a9e270957139fc9ceec7a9a8afdc4139478f47653f5a1af4a05a700caee8e0b3f2da4c89b4c480d93b9950df89ca5db70c8c5c3025ab8', 5, NULL);



INSERT INTO public.knock_attempts OVERRIDING SYSTEM VALUE VALUES (1, '\x4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b', '\x00000000000000000000000000000001', '\x015369d42abef171769deccc8158825c8bad8697a553665a680368b8f5d2408f67fb3b5c46723454151ceb3cab99d475f78a7bee3299f03d3ec8dc98e902c3592141caa20c1ba35197', 1700000003);



INSERT INTO public.knock_notices VALUES ('\x4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b', '!room:example.org', '$notice');



INSERT INTO public.known_matrix_events VALUES ('$waiting', 5);



INSERT INTO public.management_rooms OVERRIDING SYSTEM VALUE VALUES (1, '!room:example.org', '@alice:example.org', 5);



INSERT INTO public.migrations VALUES (1, '0001-store.sql', '7c8a9108e5473a326bf8e1c19524823da3014758849d08fc72c894c31a10ff66', 1795474300);
INSERT INTO public.migrations VALUES (2, '0002-node.sql', '8b009018970648e6b50ec9fb9f406f04a364b9e83e374ffcd08944cf304e1d92', 1795474300);
INSERT INTO public.migrations VALUES (3, '0003-bridge.sql', '3c53169ccc19166d3096c5720027b9505dca3201d9857afeb53de74daa53b824', 1795474300);
INSERT INTO public.migrations VALUES (4, '0004-terminal.sql', '72c17a09c79f45eb700ddd6ebef1254393596308d49a50d6ebf188f950f0b285', 1795474300);



INSERT INTO public.nodes OVERRIDING SYSTEM VALUE VALUES (1, '\x4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e', '@alice:example.org', '\x017ee2a5714cff5dc2b17795a6979603edaa227dfe4a44d45ff2a0b290eb2b68b1e0873a937ae9befa862a45055239c8c7ba908039a69be80214de8a96acae790b1e', true, 1700000000);



INSERT INTO public.outbox VALUES ('\x4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e', '\x50505050505050505050505050505050', 1, '\x00000000000000000000000000000001', '\x7365616c656420656e76656c6f70652031', '\x01c6a4151163d1f9cc5da023d7881cd0c2dab9f569fd01df1990871c9f693905533fa296779570248251536322267a00ea2c61d73d4227fc', 1700000006);



INSERT INTO public.outgoing_knocks OVERRIDING SYSTEM VALUE VALUES (1, '\x4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b', '\x4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e', '\x01ab05010e3861f8c369f87ab19b38c932ab0a1b7529b8a57c6e017b3eb90e0df3f585bd60e2e08f1b2b211b3242f6544e4585cc7800d8b61e55a4d122', '\x013573d23f6ec1c2317552939f0c40bd770514af944c56bcc47758a1bf54aa0ce703a083852f55ca0d5e40b0b5be65746d1e09c4ea', '\x016fb66d6dbac500f583a9ac44bcba3a4378731355a83f776248756d0ffa91547d4c73a2a1061b5f5c3aba782c9c26f63b01663ed84ebef2c7ac063a93b08c0589ee4609bbd8c866c7', '\x01a1a3a8bcd5de39c8ed7c6b84b9d0de9304274f627e5d1303708087f5a124dad76c69a5e4fdf95431c0ea9887bea4de70b2f3e14e068474a6c2b0053a0c61e6ab15a28f11afe180e5', 'calling', '\x01e1fd2d44db6e6c96665f220484957b87d99339bdefce8bf6dc52eb086bdfeb65ce438aafc6581617', 0, 1700000002, 1700000002);



INSERT INTO public.ownership VALUES (1, 1);



INSERT INTO public.pending_knocks OVERRIDING SYSTEM VALUE VALUES (1, '\x4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b4b', '\x4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e', '\x44444444444444444444444444444444', '\x50505050505050505050505050505050', '\x5353535353535353535353535353535353535353535353535353535353535353', '\x01b996596b75924d645cdeaa79aa5831121696870010baa94628f33013d6087fb47388b47ab8c38940972cefadfece3b617078ea3f4aa89e56c59f8f28177c0b880c195b0e6dbe178f', '\x01470a9a6156065fef234dadae992df03e6b2d05ae7c6522432c4c15e081fc25631e41d92ba04a8e2ba99f08f77d45abc6875a8f7e', '\x01f7c73eba2fc5427f6cf0b7f4ed0b7d8d4eae295bdae159fc26ad4f14ba3e3f92dcf521d01c3213fdcbcc1cf91e2f1571ede108f4014cfba7e8a0ee5f', '["text", "receipts"]', '\x01d33e0f87b991fa96c01152bc35020c29905b4b94c4880eade39805700da582b705d117d3a6b7cd717b0f1ca662d5ce265e762a64b3bf21ddca8cb919ea5cc03a32983acfd956fb95', 1700000004, false);



INSERT INTO public.portals OVERRIDING SYSTEM VALUE VALUES (1, '\x4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e', '\x50505050505050505050505050505050', '@alice:example.org', '@chattor_abc:example.org', '!room:example.org', 1700000007);



INSERT INTO public.received_events VALUES ('\x4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e4e', '\x50505050505050505050505050505050', '\x00000000000000000000000000000001', 5);



INSERT INTO public.secrets VALUES ('ghosts', '\x01e711907b2628f92fc7e00024e326c855100c8d4cf4fbc357fecc8e37cc4c84669e92d250ee5d8dd94fca955220db7f6d173dd4b3587470d9b25673b64af1021be0d8ab662f7884fd');



INSERT INTO public.settings VALUES ('since', '\x017387e8208d29fc7b4626372571c242e163a00984209d8a117d6714735761b8810643202aa340cbb87dab');



INSERT INTO public.store VALUES (1, '\x01398314ba3424ecbd6ce05863d9ef8e1ead2055c1f6b0ca6d86ca853c6d67c4acc0df763b9a2c50253a9de5af2ebd6bc63e430c131476958d');



INSERT INTO public.unread OVERRIDING SYSTEM VALUE VALUES (1, '!room:example.org', '$shown', '\x00000000000000000000000000000001');



SELECT pg_catalog.setval('public.actions_position_seq', 1, true);



SELECT pg_catalog.setval('public.contacts_position_seq', 1, true);



SELECT pg_catalog.setval('public.doors_position_seq', 1, true);



SELECT pg_catalog.setval('public.history_position_seq', 1, true);



SELECT pg_catalog.setval('public.inbox_position_seq', 1, true);



SELECT pg_catalog.setval('public.knock_attempts_position_seq', 1, true);



SELECT pg_catalog.setval('public.management_rooms_position_seq', 1, true);



SELECT pg_catalog.setval('public.nodes_position_seq', 1, true);



SELECT pg_catalog.setval('public.outgoing_knocks_position_seq', 1, true);



SELECT pg_catalog.setval('public.pending_knocks_position_seq', 1, true);



SELECT pg_catalog.setval('public.portals_position_seq', 1, true);



SELECT pg_catalog.setval('public.unread_position_seq', 1, true);



ALTER TABLE ONLY public.actions
    ADD CONSTRAINT actions_action_id_key UNIQUE (action_id);



ALTER TABLE ONLY public.actions
    ADD CONSTRAINT actions_pkey PRIMARY KEY ("position");



ALTER TABLE ONLY public.contacts
    ADD CONSTRAINT contacts_node_id_peer_id_key UNIQUE (node_id, peer_id);



ALTER TABLE ONLY public.contacts
    ADD CONSTRAINT contacts_node_id_peer_static_key UNIQUE (node_id, peer_static);



ALTER TABLE ONLY public.contacts
    ADD CONSTRAINT contacts_pkey PRIMARY KEY ("position");



ALTER TABLE ONLY public.doors
    ADD CONSTRAINT doors_door_id_key UNIQUE (door_id);



ALTER TABLE ONLY public.doors
    ADD CONSTRAINT doors_pkey PRIMARY KEY ("position");



ALTER TABLE ONLY public.event_links
    ADD CONSTRAINT event_links_pkey PRIMARY KEY (node_id, peer_id, event_id, part, matrix_event_id);



ALTER TABLE ONLY public.held_events
    ADD CONSTRAINT held_events_pkey PRIMARY KEY (node_id, peer_id, seq);



ALTER TABLE ONLY public.history
    ADD CONSTRAINT history_node_id_peer_id_event_id_key UNIQUE (node_id, peer_id, event_id);



ALTER TABLE ONLY public.history
    ADD CONSTRAINT history_pkey PRIMARY KEY ("position");



ALTER TABLE ONLY public.inbox
    ADD CONSTRAINT inbox_event_id_key UNIQUE (event_id);



ALTER TABLE ONLY public.inbox
    ADD CONSTRAINT inbox_pkey PRIMARY KEY ("position");



ALTER TABLE ONLY public.knock_attempts
    ADD CONSTRAINT knock_attempts_knock_id_peer_id_key UNIQUE (knock_id, peer_id);



ALTER TABLE ONLY public.knock_attempts
    ADD CONSTRAINT knock_attempts_pkey PRIMARY KEY ("position");



ALTER TABLE ONLY public.knock_notices
    ADD CONSTRAINT knock_notices_pkey PRIMARY KEY (knock_id);



ALTER TABLE ONLY public.known_matrix_events
    ADD CONSTRAINT known_matrix_events_pkey PRIMARY KEY (event_id);



ALTER TABLE ONLY public.management_rooms
    ADD CONSTRAINT management_rooms_pkey PRIMARY KEY ("position");



ALTER TABLE ONLY public.management_rooms
    ADD CONSTRAINT management_rooms_room_id_key UNIQUE (room_id);



ALTER TABLE ONLY public.migrations
    ADD CONSTRAINT migrations_pkey PRIMARY KEY (number);



ALTER TABLE ONLY public.nodes
    ADD CONSTRAINT nodes_node_id_key UNIQUE (node_id);



ALTER TABLE ONLY public.nodes
    ADD CONSTRAINT nodes_owner_key UNIQUE (owner);



ALTER TABLE ONLY public.nodes
    ADD CONSTRAINT nodes_pkey PRIMARY KEY ("position");



ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_pkey PRIMARY KEY (node_id, peer_id, seq);



ALTER TABLE ONLY public.outgoing_knocks
    ADD CONSTRAINT outgoing_knocks_knock_id_key UNIQUE (knock_id);



ALTER TABLE ONLY public.outgoing_knocks
    ADD CONSTRAINT outgoing_knocks_pkey PRIMARY KEY ("position");



ALTER TABLE ONLY public.ownership
    ADD CONSTRAINT ownership_pkey PRIMARY KEY (id);



ALTER TABLE ONLY public.pending_knocks
    ADD CONSTRAINT pending_knocks_knock_id_key UNIQUE (knock_id);



ALTER TABLE ONLY public.pending_knocks
    ADD CONSTRAINT pending_knocks_node_id_peer_static_key UNIQUE (node_id, peer_static);



ALTER TABLE ONLY public.pending_knocks
    ADD CONSTRAINT pending_knocks_pkey PRIMARY KEY ("position");



ALTER TABLE ONLY public.portals
    ADD CONSTRAINT portals_node_id_peer_id_key UNIQUE (node_id, peer_id);



ALTER TABLE ONLY public.portals
    ADD CONSTRAINT portals_pkey PRIMARY KEY ("position");



ALTER TABLE ONLY public.portals
    ADD CONSTRAINT portals_room_id_key UNIQUE (room_id);



ALTER TABLE ONLY public.received_events
    ADD CONSTRAINT received_events_pkey PRIMARY KEY (node_id, peer_id, event_id);



ALTER TABLE ONLY public.secrets
    ADD CONSTRAINT secrets_pkey PRIMARY KEY (name);



ALTER TABLE ONLY public.settings
    ADD CONSTRAINT settings_pkey PRIMARY KEY (name);



ALTER TABLE ONLY public.store
    ADD CONSTRAINT store_pkey PRIMARY KEY (id);



ALTER TABLE ONLY public.unread
    ADD CONSTRAINT unread_matrix_event_id_key UNIQUE (matrix_event_id);



ALTER TABLE ONLY public.unread
    ADD CONSTRAINT unread_pkey PRIMARY KEY ("position");



CREATE INDEX actions_waiting ON public.actions USING btree (lane, "position") WHERE (parked IS NULL);



CREATE INDEX doors_of_node ON public.doors USING btree (node_id, "position");



CREATE INDEX event_links_by_matrix_event ON public.event_links USING btree (matrix_event_id);



CREATE INDEX history_by_age ON public.history USING btree (stored_at);



CREATE INDEX history_of_node ON public.history USING btree (node_id, "position");



CREATE INDEX history_of_peer ON public.history USING btree (node_id, peer_id, "position");



CREATE INDEX history_unread ON public.history USING btree (node_id, peer_id, "position") WHERE ((read_at IS NULL) AND (direction = 'in'::text));



CREATE INDEX inbox_waiting ON public.inbox USING btree (room_id, "position") WHERE (parked IS NULL);



CREATE INDEX knock_notices_by_matrix_event ON public.knock_notices USING btree (matrix_event_id);



CREATE INDEX known_matrix_events_by_age ON public.known_matrix_events USING btree (first_seen);



CREATE INDEX management_rooms_of_owner ON public.management_rooms USING btree (owner, saved_at);



CREATE INDEX outgoing_knocks_of_node ON public.outgoing_knocks USING btree (node_id, "position");



CREATE INDEX portals_of_owner ON public.portals USING btree (owner, "position");



CREATE INDEX unread_in_room ON public.unread USING btree (room_id, "position");



ALTER TABLE ONLY public.contacts
    ADD CONSTRAINT contacts_node_id_fkey FOREIGN KEY (node_id) REFERENCES public.nodes(node_id) ON DELETE CASCADE;



ALTER TABLE ONLY public.doors
    ADD CONSTRAINT doors_node_id_fkey FOREIGN KEY (node_id) REFERENCES public.nodes(node_id) ON DELETE CASCADE;



ALTER TABLE ONLY public.held_events
    ADD CONSTRAINT held_events_node_id_peer_id_fkey FOREIGN KEY (node_id, peer_id) REFERENCES public.contacts(node_id, peer_id) ON DELETE CASCADE;



ALTER TABLE ONLY public.knock_attempts
    ADD CONSTRAINT knock_attempts_knock_id_fkey FOREIGN KEY (knock_id) REFERENCES public.outgoing_knocks(knock_id) ON DELETE CASCADE;



ALTER TABLE ONLY public.outbox
    ADD CONSTRAINT outbox_node_id_peer_id_fkey FOREIGN KEY (node_id, peer_id) REFERENCES public.contacts(node_id, peer_id) ON DELETE CASCADE;



ALTER TABLE ONLY public.outgoing_knocks
    ADD CONSTRAINT outgoing_knocks_node_id_fkey FOREIGN KEY (node_id) REFERENCES public.nodes(node_id) ON DELETE CASCADE;



ALTER TABLE ONLY public.pending_knocks
    ADD CONSTRAINT pending_knocks_door_id_fkey FOREIGN KEY (door_id) REFERENCES public.doors(door_id);



ALTER TABLE ONLY public.pending_knocks
    ADD CONSTRAINT pending_knocks_node_id_fkey FOREIGN KEY (node_id) REFERENCES public.nodes(node_id) ON DELETE CASCADE;



ALTER TABLE ONLY public.received_events
    ADD CONSTRAINT received_events_node_id_peer_id_fkey FOREIGN KEY (node_id, peer_id) REFERENCES public.contacts(node_id, peer_id) ON DELETE CASCADE;




