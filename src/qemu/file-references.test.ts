import { expect, test } from 'vitest';
import { parseArguments, printArguments } from './arguments.ts';
import { listFiles, mapFiles } from './file-references.ts';

const files = (...words: string[]): [string, boolean][] =>
  listFiles(parseArguments(words)).map(({ path, writable }) => [path, writable]);

test.each<[string[], [string, boolean][]]>([
  [
    ['-kernel', '/k', '-initrd', '/i', '-append', '/not/a/file'],
    [
      ['/k', false],
      ['/i', false],
    ],
  ],
  [['-bios', 'bios-256k.bin'], []],
  [['-bios', '/fw/tiny.bin'], [['/fw/tiny.bin', false]]],
  [['-drive', 'file=/d.img,format=raw,if=virtio'], [['/d.img', true]]],
  [['-drive', 'file=/d.iso,media=cdrom'], [['/d.iso', false]]],
  [['-drive', 'file=/d.img,readonly=on'], [['/d.img', false]]],
  [['-drive', 'file=nbd://host/export'], []],
  [['-drive', 'file=file:/d.img'], [['/d.img', true]]],
  [['-drive', 'file.driver=file,file.filename=/d.img,driver=qcow2'], [['/d.img', true]]],
  [['-cdrom', '/c.iso'], [['/c.iso', false]]],
  [['-hda', '/a.img'], [['/a.img', true]]],
  [['/bare.img'], [['/bare.img', true]]],
  [['-blockdev', 'driver=file,filename=/b.img,node-name=n'], [['/b.img', true]]],
  [['-blockdev', 'driver=qcow2,file=n,node-name=q'], []],
  [['-blockdev', '{"driver":"file","filename":"/b.img","read-only":true}'], [['/b.img', false]]],
  [
    [
      '-blockdev',
      '{"driver":"qcow2","file":{"driver":"file","filename":"/top"},"backing":{"driver":"file","filename":"/base"}}',
    ],
    [
      ['/top', true],
      ['/base', false],
    ],
  ],
  [['-object', 'secret,id=s,file=/key'], [['/key', false]]],
  [
    ['-object', '{"qom-type":"secret","id":"masterKey0","format":"raw","file":"/var/lib/k.aes"}'],
    [['/var/lib/k.aes', false]],
  ],
  [['-object', 'memory-backend-file,id=r,mem-path=/dev/shm/r,size=1M'], []],
  [['-netdev', 'tap,id=n,script=/etc/up,downscript=no'], [['/etc/up', false]]],
  [['-fw_cfg', 'name=opt/x,file=/cfg'], [['/cfg', false]]],
])('%j names %j', (words, wanted) => {
  expect(files(...words)).toEqual(wanted);
});

test('paths can be replaced in place', () => {
  const words = ['-kernel', './k', '-drive', 'if=virtio,file=d,,1.img', '-m', '1G'];
  const mapped = mapFiles(parseArguments(words), ({ path }) => `/src/${path}`);
  expect(printArguments(mapped)).toEqual(['-kernel', '/src/./k', '-drive', 'if=virtio,file=/src/d,,1.img', '-m', '1G']);
});
