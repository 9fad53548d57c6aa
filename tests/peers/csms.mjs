// A strict OCPP 1.6 CSMS made of somebody else's code (npm ocpp-rpc). JSON lines: what happens goes to stdout,
// requests for the station ({"call": "RemoteStopTransaction", "payload": {...}}) come from stdin.
import { createRequire } from 'node:module';
import readline from 'node:readline';

const { RPCServer } = createRequire(import.meta.url)('ocpp-rpc');
const say = (row) => process.stdout.write(JSON.stringify(row) + '\n');

let station = null;
let nextTransaction = 100;
const now = () => new Date().toISOString();
const accepted = { idTagInfo: { status: 'Accepted' } };

const answers = {
  BootNotification: () => ({ status: 'Accepted', currentTime: now(), interval: 300 }),
  Heartbeat: () => ({ currentTime: now() }),
  Authorize: () => accepted,
  StatusNotification: () => ({}),
  MeterValues: () => ({}),
  StartTransaction: () => ({ transactionId: nextTransaction++, ...accepted }),
  StopTransaction: () => accepted,
  DataTransfer: () => ({ status: 'Accepted' }),
  FirmwareStatusNotification: () => ({}),
  DiagnosticsStatusNotification: () => ({}),
  LogStatusNotification: () => ({}),
  SignedFirmwareStatusNotification: () => ({}),
  SecurityEventNotification: () => ({}),
  SignCertificate: () => ({ status: 'Accepted' }),
};

const server = new RPCServer({ protocols: ['ocpp1.6'], strictMode: true, pingIntervalMs: 5000 });
server.auth((accept, reject, handshake) => accept({ identity: handshake.identity }));
server.on('client', (client) => {
  station = client;
  say({ connected: client.identity, protocol: client.protocol });
  client.on('strictValidationFailure', (event) => say({ violation: String(event.error), message: event.messageId }));
  client.on('badMessage', (event) => say({ violation: `bad message: ${event.error}`, text: String(event.buffer) }));
  client.on('close', () => say({ closed: client.identity }));
  client.handle(({ method, params }) => {
    say({ call: method, payload: params });
    const answer = answers[method];
    if (!answer) throw new Error(`unexpected ${method}`);
    return answer(params);
  });
});

const httpServer = await server.listen(0, '127.0.0.1');
say({ port: httpServer.address().port });

for await (const line of readline.createInterface({ input: process.stdin })) {
  const { call, payload } = JSON.parse(line);
  try {
    say({ answer: await station.call(call, payload) });
  } catch (error) {
    say({ answer: null, error: String(error) });
  }
}
await server.close({ code: 1000, reason: 'done' });
process.exit(0);
