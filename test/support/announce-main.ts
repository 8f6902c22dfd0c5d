/**
 * Announces a VM's interface in the network namespace that this process is in, as a daemon there would; prints how many frames
 * were sent: `node announce-main.ts BRIDGE TAP MAC ADDRESS…`.
 */
import { announceNics } from '../../src/network/announcing.ts';

const [bridge = '', tap = '', mac = '', ...addresses] = process.argv.slice(2);
const nics = [{ name: 'nic0', bridge, tap, mac, mtu: 1500, addresses }];
console.log(await announceNics(nics, new AbortController().signal));
