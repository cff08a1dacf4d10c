import { checkArray, checkGuestPath, checkInteger, checkText, refuse } from './checks.ts';
import { bringsItsOwn } from './kernel.ts';
import type { MachineOptions, VolumeOptions } from './options.ts';
import { volumeTag } from './shares.ts';
import type { MountSpec, RlimitSpec, WorkloadSpec } from './spec.ts';

/** What every login has; whatever the user gives comes over it. */
const DEFAULT_ENV = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
};

/** User and group ids; the one above means "unchanged" to the kernel. */
const ID_MAX = 0xffff_fffe;

/** The process, its attributes, and what is mounted for it. */
export function resolveWorkload(options: MachineOptions): WorkloadSpec {
  const command = checkArray('command', options.command).map((word, index) =>
    checkText(`command[${index}]`, word, { empty: index > 0 }),
  );
  if (command.length === 0 && bringsItsOwn(options)) command.push('/bin/sh');
  if (command.length === 0) refuse('command', 'it has no program');
  const { hostname, user } = options;
  return {
    command,
    env: resolveEnv(options.env),
    workdir: checkGuestPath('workdir', options.workdir ?? '/'),
    hostname: hostname === undefined ? undefined : checkHostname(hostname),
    rlimits: checkArray('rlimits', options.rlimits).map(resolveLimit),
    user: user && {
      uid: checkInteger('user.uid', user.uid, 0, ID_MAX),
      gid: checkInteger('user.gid', user.gid, 0, ID_MAX),
    },
    mounts: checkArray('volumes', options.volumes).map(resolveMount),
  };
}

function resolveEnv(env: MachineOptions['env']): Record<string, string> {
  const pairs = Array.isArray(env) ? (env as readonly unknown[]).map(splitPair) : Object.entries(env ?? {});
  const merged = new Map<string, string>(Object.entries(DEFAULT_ENV));
  for (const [name, value] of pairs) {
    if (checkText('env', name).includes('=')) refuse('env', `${JSON.stringify(name)} is no name`);
    merged.set(name, checkText(`env.${name}`, value, { empty: true }));
  }
  return Object.fromEntries(merged);
}

function splitPair(item: unknown): [name: string, value: string] {
  const text = checkText('env', item);
  const at = text.indexOf('=');
  if (at < 1) refuse('env', `${JSON.stringify(text)} is not NAME=value`);
  return [text.slice(0, at), text.slice(at + 1)];
}

function checkHostname(value: unknown): string {
  const name = checkText('hostname', value);
  if (!/^[A-Za-z0-9]([A-Za-z0-9.-]{0,62}[A-Za-z0-9])?$/.test(name)) {
    refuse('hostname', `${JSON.stringify(name)} is not 1 to 64 letters, digits, dots and dashes`);
  }
  return name;
}

function resolveLimit(value: unknown): RlimitSpec {
  const match = /^(\d{1,2})=(\d{1,20}):(\d{1,20})$/.exec(checkText('rlimits', value));
  const [, resource = '', soft = '', hard = ''] = match ?? [];
  if (match === null || BigInt(soft) >= 2n ** 64n || BigInt(hard) >= 2n ** 64n) {
    refuse('rlimits', `${JSON.stringify(value)} is not ID=CUR:MAX in numbers`);
  }
  return { resource: Number(resource), soft: BigInt(soft), hard: BigInt(hard) };
}

function resolveMount({ guestPath, readOnly }: VolumeOptions, index: number): MountSpec {
  const path = checkGuestPath(`volumes[${index}].guestPath`, guestPath);
  if (/^\/+$/.test(path)) refuse(`volumes[${index}].guestPath`, 'the root is set with root');
  return { tag: volumeTag(index), path, readOnly: readOnly === true };
}
