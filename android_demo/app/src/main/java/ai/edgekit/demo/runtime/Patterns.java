package ai.edgekit.demo.runtime;

import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/** Test images made by integer arithmetic: `pattern` of edgekit/runtime/preprocess.py. */
public final class Patterns {
    public static final List<String> NAMES =
            Collections.unmodifiableList(Arrays.asList("gradient", "checker", "noise"));

    private Patterns() {}

    /** The pixels of a pattern, row by row, 0xAARRGGBB. */
    public static int[] argb(String name, int height, int width) {
        if (!NAMES.contains(name)) {
            throw new ImageException("The pattern " + Spec.printable(name) + " is not known.");
        }
        int[] argb = new int[height * width];
        for (int y = 0; y < height; y++) {
            for (int x = 0; x < width; x++) {
                int at = y * width + x;
                int rgb;
                if (name.equals("gradient")) {
                    int red = 255 * x / Math.max(width - 1, 1);
                    int green = 255 * y / Math.max(height - 1, 1);
                    rgb = red << 16 | green << 8 | (255 - (red + green) / 2);
                } else if (name.equals("checker")) {
                    rgb = (x / 8 + y / 8) % 2 == 0 ? 0xE02060 : 0x10A0F0;
                } else {
                    rgb = noise(3 * at + 1) << 16 | noise(3 * at + 2) << 8 | noise(3 * at + 3);
                }
                argb[at] = 0xFF000000 | rgb;
            }
        }
        return argb;
    }

    /** The upper byte of the finalizer of MurmurHash3 (Appleby 2011). */
    static int noise(int number) {
        int hash = number;
        hash ^= hash >>> 16;
        hash *= 0x85EBCA6B;
        hash ^= hash >>> 13;
        hash *= 0xC2B2AE35;
        hash ^= hash >>> 16;
        return hash >>> 24;
    }
}
