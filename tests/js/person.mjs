// A person at a client built on matrix-js-sdk, as Element is, driven over stdin and stdout by tests/js_person.py.
//
// In: one JSON object a line, {"id", "do", ...}. Out: {"id", "result"} or {"id", "error"} for each of them, and besides
// {"event"} for everything that comes, decrypted, with the shield Element would draw beside it.

import { createInterface } from "node:readline";
import { createClient, ClientEvent, MatrixEventEvent, RoomMemberEvent } from "matrix-js-sdk";

const out = (value) => process.stdout.write(JSON.stringify(value) + "\n");
for (const level of ["trace", "debug", "info", "log", "warn", "error"]) console[level] = () => {};

const [homeserver, userId] = process.argv.slice(2);
let client;

async function tell(event) {
    if (!event.getId() || !event.getRoomId()) return; // a receipt, somebody typing, a setting
    const content = event.getContent();
    const told = {
        event_id: event.getId(),
        room_id: event.getRoomId(),
        sender: event.getSender(),
        type: event.getType(),
        content,
        decrypted: event.isEncrypted() && !event.isDecryptionFailure() && !event.isBeingDecrypted(),
    };
    if (event.isState()) told.state_key = event.getStateKey();
    if (event.isEncrypted()) {
        if (event.isBeingDecrypted() || event.shouldAttemptDecryption()) return;
        told.failed = event.isDecryptionFailure();
        if (!told.failed) told.shield = (await client.getCrypto().getEncryptionInfoForEvent(event))?.shieldColour;
    }
    out({ event: told });
}

const deeds = {
    async login({ password }) {
        const before = createClient({ baseUrl: homeserver });
        const answer = await before.loginRequest({
            type: "m.login.password",
            identifier: { type: "m.id.user", user: userId },
            password,
            initial_device_display_name: "js",
        });
        client = createClient({
            baseUrl: homeserver,
            userId: answer.user_id,
            accessToken: answer.access_token,
            deviceId: answer.device_id,
        });
        await client.initRustCrypto({ useIndexedDB: false });
        await client.getCrypto().bootstrapCrossSigning({
            authUploadDeviceSigningKeys: async (upload) => {
                try {
                    await upload(null);
                } catch (error) {
                    const session = error.data?.session;
                    const identifier = { type: "m.id.user", user: userId };
                    await upload({ type: "m.login.password", identifier, password, session });
                }
            },
        });
        client.on(ClientEvent.Event, (event) => void tell(event));
        client.on(MatrixEventEvent.Decrypted, (event) => void tell(event));
        client.on(RoomMemberEvent.Membership, (event, member) => {
            if (member.userId === client.getUserId() && member.membership === "invite") void client.joinRoom(member.roomId);
        });
        const ready = new Promise((done) => client.once(ClientEvent.Sync, done));
        await client.startClient({ initialSyncLimit: 100 });
        await ready;
        return client.getDeviceId();
    },
    async open({ other }) {
        const encryption = { type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } };
        const answer = await client.createRoom({ is_direct: true, invite: [other], initial_state: [encryption] });
        while (!client.getRoom(answer.room_id)) await new Promise((done) => client.once(ClientEvent.Room, done));
        return answer.room_id;
    },
    async send({ room, type, content }) {
        return (await client.sendEvent(room, type, content)).event_id;
    },
};

for await (const line of createInterface({ input: process.stdin })) {
    const { id, do: deed, ...rest } = JSON.parse(line);
    deeds[deed](rest).then(
        (result) => out({ id, result }),
        (error) => out({ id, error: String(error) }),
    );
}
client?.stopClient();
process.exit(0);
