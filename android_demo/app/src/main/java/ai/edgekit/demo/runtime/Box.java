package ai.edgekit.demo.runtime;

/** A region of an image, in pixels. In the crop mode `pad` it reaches beyond the image: top or left is negative. */
final class Box {
    final int top;
    final int left;
    final int height;
    final int width;

    Box(int top, int left, int height, int width) {
        this.top = top;
        this.left = left;
        this.height = height;
        this.width = width;
    }

    /** The region that the model sees: `crop_box` of edgekit/runtime/preprocess.py, where it is described. */
    static Box of(int height, int width, Spec spec) {
        Spec.Crop crop = spec.preprocess.crop;
        if (crop.mode.equals("none")) {
            return new Box(0, 0, height, width);
        }
        boolean round = crop.rounding.equals("round");
        long across = (long) width * spec.input.height;
        long down = (long) height * spec.input.width;
        boolean center = crop.mode.equals("center");
        boolean fullWidth = down > across == center;
        double tall = fullWidth ? (double) across / spec.input.width : height;
        double wide = fullWidth ? width : (double) down / spec.input.height;
        double half = round ? 0.5 : 0.0;
        int boxHeight = Math.max(1, (int) (tall * crop.fraction + half));
        int boxWidth = Math.max(1, (int) (wide * crop.fraction + half));
        return new Box(offset(height, boxHeight, round), offset(width, boxWidth, round), boxHeight, boxWidth);
    }

    /** Where this region of an image that is turned clockwise by `degrees` lies in the image as it is stored. */
    Box unrotated(int degrees, int storedHeight, int storedWidth) {
        switch (degrees) {
            case 90:
                return new Box(storedHeight - left - width, top, width, height);
            case 180:
                return new Box(storedHeight - top - height, storedWidth - left - width, height, width);
            case 270:
                return new Box(left, storedWidth - top - height, width, height);
            default:
                return this;
        }
    }

    private static int offset(int outer, int inner, boolean round) {
        int spare = Math.abs(outer - inner);
        int offset = round ? (spare + 1) / 2 : spare / 2;
        return outer >= inner ? offset : -offset;
    }
}
