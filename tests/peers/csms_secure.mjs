// The strict OCPP 1.6 CSMS (npm ocpp-rpc) behind security profiles 1 to 3. The first line of stdin is the configuration:
// {"profile": 1, "password": hex, "key": PEM, "cert": PEM, "ca": PEM}; what follows are requests as for csms.mjs.
import { createRequire } from 'node:module';
import http from 'node:http';
import https from 'node:https';
import readline from 'node:readline';

const { RPCServer } = createRequire(import.meta.url)('ocpp-rpc');
const say = (row) => process.stdout.write(JSON.stringify(row) + '\n');
const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const config = JSON.parse((await lines.next()).value);

let station = null;
const answers = {
  BootNotification: () => ({ status: 'Accepted', currentTime: new Date().toISOString(), interval: 300 }),
  Heartbeat: () => ({ currentTime: new Date().toISOString() }),
  StatusNotification: () => ({}),
  SecurityEventNotification: () => ({}),
  SignCertificate: () => ({ status: 'Accepted' }),
};

const server = new RPCServer({ protocols: ['ocpp1.6'], strictMode: true, pingIntervalMs: 5000 });
server.auth((accept, reject, handshake) => {
  if (config.profile <= 2 && handshake.password?.toString('hex') !== config.password) {
    say({ refused: handshake.identity });
    return reject(401, 'Unauthorized');
  }
  const tls = handshake.request.socket;
  if (config.profile === 3 && !tls.authorized) return reject(403, String(tls.authorizationError));
  const shown = config.profile === 3 ? tls.getPeerCertificate() : null;
  say({ accepted: handshake.identity, subject: shown && shown.subject, version: tls.getProtocol ? tls.getProtocol() : '' });
  return accept({ identity: handshake.identity });
});
server.on('client', (client) => {
  station = client;
  client.on('strictValidationFailure', (event) => say({ violation: String(event.error), message: event.messageId }));
  client.on('badMessage', (event) => say({ violation: `bad message: ${event.error}` }));
  client.handle(({ method, params }) => {
    say({ call: method, payload: params });
    if (!answers[method]) throw new Error(`unexpected ${method}`);
    return answers[method](params);
  });
});

const front = config.profile === 1
  ? http.createServer()
  : https.createServer({
    key: config.key, cert: config.cert, ca: config.ca, requestCert: config.profile === 3,
    rejectUnauthorized: config.profile === 3, minVersion: 'TLSv1.2',
  });
front.on('upgrade', server.handleUpgrade);
front.listen(0, '127.0.0.1', () => say({ port: front.address().port }));

for await (const line of lines) {
  const { call, payload, password } = JSON.parse(line);
  if (password) {
    config.password = password;
    say({ password });
    continue;
  }
  try {
    say({ answer: await station.call(call, payload) });
  } catch (error) {
    say({ answer: null, error: String(error) });
  }
}
process.exit(0);
