/** A file inside an npm package, pinned by the hashes of both. */
export interface PinnedPackage {
  readonly name: string;
  readonly version: string;
  /** Path of the wanted file in the tarball. */
  readonly member: string;
  readonly tarballBytes: number;
  /** SHA-512 of the tarball in base64, as in a lock file's `integrity`. */
  readonly tarballSha512: string;
  readonly fileBytes: number;
  /** SHA-256 of the file in hex; also its key in the cache. */
  readonly fileSha256: string;
}

/** The guest kernel that is fetched when none is found: libkrunfw 5.6.1, Linux 6.12.109. */
export const PINNED_FIRMWARE: PinnedPackage = {
  name: '@superradcompany/microsandbox-linux-x64-gnu',
  version: '0.7.2',
  member: 'package/lib/libkrunfw.so.5.6.1',
  tarballBytes: 42_820_523,
  tarballSha512: '5gmMDYjyGXtx+13rWKeI0/f6x7ecDg6aMFVCupgr23IQODQLuGsbvn70LyXUrT0bOlYhle6i4uum2+AwVKTU8Q==',
  fileBytes: 21_628_880,
  fileSha256: 'ce9a749e8471e89aa5e2ad88de0c1581c3384c100bcb107a75bb12739a12d590',
};

/** Where a registry that lays out its files like npm's keeps the tarball. */
export function tarballUrl(registry: string, { name, version }: PinnedPackage): string {
  const base = registry.endsWith('/') ? registry : `${registry}/`;
  return `${base}${name}/-/${name.slice(name.indexOf('/') + 1)}-${version}.tgz`;
}
