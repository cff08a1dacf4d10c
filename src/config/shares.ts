import { checkArray, checkInteger, checkKeys, checkText, refuse } from './checks.ts';
import type { MachineOptions, OverlayOptions, ShareOptions } from './options.ts';
import type { OverlaySpec, ShareSpec } from './spec.ts';

/** The tag that the kernel mounts as `/`. */
export const ROOT_TAG = '/dev/root';

/** Bytes of a tag in the device's configuration space. @spec VIRTIO-1.2 §5.11.4 */
const TAG_BYTES_MAX = 36;

/** The tag of the nth volume; users' own tags may not begin like this. */
export function volumeTag(index: number): string {
  return `krun-volume-${index}`;
}

/** All virtio-fs devices in order: the root, the user's shares, the volumes. */
export function resolveShares({ root, readOnly, shares, volumes }: MachineOptions): ShareSpec[] {
  const list: ShareSpec[] = [];
  if (root !== undefined) {
    list.push({ tag: ROOT_TAG, path: checkText('root', root), readOnly: readOnly === true, init: true, overlay: [] });
  } else if (readOnly !== undefined) {
    refuse('readOnly', 'it concerns root, which is not set');
  }
  checkArray('shares', shares).forEach((share, index) => {
    list.push(resolveShare(share, `shares[${index}]`));
  });
  checkArray('volumes', volumes).forEach((volume, index) => {
    checkKeys(`volumes[${index}]`, volume, ['hostPath', 'guestPath', 'readOnly']);
    const path = checkText(`volumes[${index}].hostPath`, volume.hostPath);
    list.push({ tag: volumeTag(index), path, readOnly: volume.readOnly === true, init: false, overlay: [] });
  });
  return list;
}

function resolveShare(share: ShareOptions, what: string): ShareSpec {
  checkKeys(what, share, ['tag', 'path', 'readOnly', 'init', 'overlay']);
  const tag = checkText(`${what}.tag`, share.tag);
  if (new TextEncoder().encode(tag).length > TAG_BYTES_MAX)
    refuse(`${what}.tag`, `it is longer than ${TAG_BYTES_MAX} bytes`);
  return {
    tag,
    path: share.path === null ? null : checkText(`${what}.path`, share.path),
    readOnly: share.readOnly === true,
    init: tag === ROOT_TAG && share.init !== false,
    overlay: checkArray(`${what}.overlay`, share.overlay).map((item, index) =>
      resolveOverlay(item, `${what}.overlay[${index}]`),
    ),
  };
}

function resolveOverlay(item: OverlayOptions, what: string): OverlaySpec {
  checkKeys(what, item, ['path', 'data', 'mode', 'oneShot']);
  const path = checkText(`${what}.path`, item.path).replace(/^\//, '');
  const parts = path.split('/');
  if (parts.some((part) => part === '' || part === '.' || part === '..')) {
    refuse(`${what}.path`, `${JSON.stringify(item.path)} has an empty, "." or ".." component`);
  }
  if (item.data !== undefined && !(item.data instanceof Uint8Array)) refuse(`${what}.data`, 'expected a Uint8Array');
  return {
    path,
    ...(item.data !== undefined && { data: item.data }),
    mode: checkInteger(`${what}.mode`, item.mode, 0, 0o7777),
    oneShot: item.oneShot === true,
  };
}
