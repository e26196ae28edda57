// Pushes what standard input says through node-soap, and prints what came of each push.
const fs = require('fs');
const soap = require('soap');

async function main() {
  const job = JSON.parse(fs.readFileSync(0, 'utf8'));
  const client = await soap.createClientAsync(job.wsdl, { forceSoap12Headers: job.version === '1.2' });
  const outcomes = [];
  for (const request of job.requests) {
    const options = { passwordType: 'PasswordDigest', hasNonce: true, hasTimeStamp: false };
    client.setSecurity(new soap.WSSecurity(job.user, job.password, options));
    try {
      const [answer] = await client[job.operation + 'Async'](request);
      outcomes.push({ answer });
    } catch (error) {
      outcomes.push({ fault: String(error.body || error) });
    }
  }
  console.log(JSON.stringify(outcomes));
}

main().catch((error) => { console.error(error); process.exit(1); });
