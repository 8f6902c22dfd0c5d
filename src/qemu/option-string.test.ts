import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { escapeComma, OptionString } from './option-string.ts';

describe('an option string', () => {
  test.each([
    'virtio-net-pci,netdev=n0,mac=52:54:00:00:00:01',
    'file=/a,,b.img,if=none',
    'socket,id=c0,path=/x,server,nowait',
    'q35',
    'pc-q35-7.2,usb=off,dump-guest-core=off',
    'size=512M',
    '{"driver":"virtio-blk-pci","id":"d0","bus":"pci.1"}',
    '',
    'guest=a=b,debug-threads=on',
    'driver=virtio-net-pci,id=n',
  ])('is printed as it was read: %s', (text) => {
    expect(OptionString.parse(text, 'driver').toString()).toBe(text);
  });

  test('gives the first word to the implied key', () => {
    expect(OptionString.parse('virtio-net-pci,id=n', 'driver').get('driver')).toBe('virtio-net-pci');
  });

  test('takes the first word as a flag where no key is implied', () => {
    expect(OptionString.parse('readonly,file=/a').isOn('readonly')).toBe(true);
  });

  test('joins doubled commas', () => {
    expect(OptionString.parse('file=/a,,b,,,,c,if=none').get('file')).toBe('/a,b,,c');
  });

  test('takes the last of a key given twice', () => {
    expect(OptionString.parse('a=1,a=2').get('a')).toBe('2');
  });

  test.each([
    ['share=on', true],
    ['share=yes', true],
    ['share', true],
    ['{"share":true}', true],
    ['share=off', false],
    ['noshare', false],
    ['{"share":false}', false],
  ])('reads %s as share=%s', (text, wanted) => {
    expect(OptionString.parse(`x=1,${text}`.replace(/^x=1,\{/, '{')).isOn('share', !wanted)).toBe(wanted);
  });

  test('falls back where nothing is said', () => {
    expect(OptionString.parse('id=a').isOn('share', true)).toBe(true);
  });

  test('reaches into JSON by dotted keys', () => {
    const options = OptionString.parse('{"driver":"qcow2","file":{"driver":"file","filename":"/a"}}');
    options.set('file.filename', '/b');
    expect(options.get('file.filename')).toBe('/b');
    expect(options.toString()).toBe('{"driver":"qcow2","file":{"driver":"file","filename":"/b"}}');
  });

  test('changes a value in its place', () => {
    const options = OptionString.parse('memory-backend-file,id=a,mem-path=/x,share=on', 'qom-type');
    options.set('mem-path', '/y,z');
    expect(options.toString()).toBe('memory-backend-file,id=a,mem-path=/y,,z,share=on');
  });

  test('adds a new key at the end and deletes others', () => {
    const options = OptionString.parse('none,id=a,to=99', 'type');
    options.delete('to', 'absent');
    options.set('server', true);
    expect(options.toString()).toBe('none,id=a,server=on');
  });

  test('keeps any value through escaping', () => {
    fc.assert(
      fc.property(fc.string(), (value) => {
        expect(OptionString.parse(`id=x,path=${escapeComma(value)}`).get('path')).toBe(value);
      }),
    );
  });
});
