package ai.edgekit.demo.runtime;

import java.nio.Buffer;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;

/**
 * Reads tables of a flatbuffer (https://flatbuffers.dev/internals) without a schema; positions are absolute.
 * Every access is bounds-checked: IndexOutOfBoundsException says that the file is damaged.
 */
final class FlatBuffer {
    private final ByteBuffer data;
    private final int size;

    FlatBuffer(ByteBuffer data) {
        this.data = data.duplicate().order(ByteOrder.LITTLE_ENDIAN);
        this.size = data.limit();
    }

    /** The unsigned 32-bit number at a position. */
    long u32(long at) {
        return data.getInt(inside(at, 4)) & 0xFFFFFFFFL;
    }

    /** The position of the root table. */
    long root() {
        return u32(0);
    }

    /** The position of a field's value, or -1 when the table leaves it out. */
    long field(long table, int number) {
        long vtable = table - data.getInt(inside(table, 4));
        int length = u16(vtable);
        int slot = 4 + 2 * number;
        if (slot + 2 > length) {
            return -1;
        }
        int offset = u16(vtable + slot);
        return offset == 0 ? -1 : table + offset;
    }

    /** An unsigned 32-bit number in a table, 0 when it is left out. */
    long number(long table, int field) {
        long at = field(table, field);
        return at < 0 ? 0 : u32(at);
    }

    /** A 64-bit number in a table, 0 when it is left out. Half of them are out of reach, and negative here. */
    long longNumber(long table, int field) {
        long at = field(table, field);
        return at < 0 ? 0 : data.getLong(inside(at, 8));
    }

    /** The start of the vector, string or table that a field refers to, or -1. A vector starts with its length. */
    long reference(long table, int field) {
        long at = field(table, field);
        if (at < 0) {
            return -1;
        }
        long target = at + u32(at);
        inside(target, 4);
        return target;
    }

    /** How many entries of `width` bytes the vector has; all of them lie inside of the file. */
    int count(long vector, int width) {
        if (vector < 0) {
            return 0;
        }
        long count = u32(vector);
        inside(vector + 4, count * width);
        return (int) count;
    }

    /** The position of a table in a vector of tables. */
    long table(long vector, int index) {
        long at = vector + 4 + 4L * index;
        return at + u32(at);
    }

    /** A view of the bytes of a string or byte vector. */
    ByteBuffer bytes(long table, int field) {
        long vector = reference(table, field);
        return vector < 0 ? slice(0, 0) : slice(vector + 4, count(vector, 1));
    }

    /** A view of a part of the file. */
    ByteBuffer slice(long start, long length) {
        int first = inside(start, length);
        ByteBuffer view = data.duplicate();
        ((Buffer) view).limit(first + (int) length);
        ((Buffer) view).position(first);
        return view.slice();
    }

    private int u16(long at) {
        return data.getShort(inside(at, 2)) & 0xFFFF;
    }

    private int inside(long at, long length) {
        if (at < 0 || length < 0 || at > size - length) {
            throw new IndexOutOfBoundsException();
        }
        return (int) at;
    }
}
