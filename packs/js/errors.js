/**
 * EdgeError
 * ├── InputError     a row or a name that cannot have a key
 * └── PackError      a file that is damaged, truncated, or for something else
 *     └── ExpiredPack
 */
export class EdgeError extends Error {
  get name() {
    return this.constructor.name;
  }
}
export class InputError extends EdgeError {}
export class PackError extends EdgeError {}
export class ExpiredPack extends PackError {}
